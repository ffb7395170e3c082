// The dashboard, on every page: parts that change with the project, and paths to copy.

// --- parts that change -------------------------------------------------------------------------------------------

const body = document.body;

function concerns(changed) {
  const wanted = body.dataset.depends;
  if (wanted === "none") return false;  // a form, which must not change under the hand
  return wanted === "*" || changed.includes("*") || changed.includes("project") || changed.includes(wanted);
}

const partsOf = page => new Map([...page.querySelectorAll("[data-part]")].map(part => [part.dataset.part, part]));
const asMade = new Map([...partsOf(document)].map(([name, part]) => [name, part.outerHTML]));

// Load the page again, and replace the parts whose HTML is another one; scrolled logs stay at their ends.
async function refresh() {
  const answer = await fetch(location.href, {headers: {Accept: "text/html"}});
  if (!answer.ok) return say(await reason(answer));
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const old = partsOf(document), now = partsOf(fresh);
  if ([...old.keys()].join() !== [...now.keys()].join()) return replaceAll(fresh);
  for (const [name, part] of now) {
    if (asMade.get(name) === part.outerHTML) continue;
    asMade.set(name, part.outerHTML);
    exchange(old.get(name), document.adoptNode(part));
  }
}

// What the server says instead of the page, in its own words.
async function reason(answer) {
  const text = await answer.text();
  const words = new DOMParser().parseFromString(text, "text/html").querySelector(".note")?.textContent;
  return words || `This page can't be loaded again (${answer.status}).`;
}

function replaceAll(fresh) {
  for (const [name, part] of partsOf(fresh)) asMade.set(name, part.outerHTML);
  exchange(document.querySelector("main"), document.adoptNode(fresh.querySelector("main")));
  exchange(document.querySelector("nav [data-part]"), document.adoptNode(fresh.querySelector("nav [data-part]")));
}

function exchange(old, part) {
  if (!old || !part) return;
  const open = new Set([...old.querySelectorAll("details[open] > summary")].map(summary => summary.textContent));
  part.querySelectorAll("details").forEach(one => { one.open = open.has(one.querySelector("summary").textContent); });
  old.replaceWith(part);
  whenSeen(part.querySelectorAll(".map"), showMap);
  begin(part);
}

function begin(part) {
  part.querySelectorAll(".log").forEach(log => { log.scrollTop = log.scrollHeight; });
}

// --- events ------------------------------------------------------------------------------------------------------

function say(words) {
  const line = document.getElementById("live");
  line.hidden = !words;
  line.textContent = words;
}

let waiting = 0;
function refreshSoon() {
  clearTimeout(waiting);
  waiting = setTimeout(() => refresh().catch(error => say(`This page can't be loaded again: ${error.message}.`)), 300);
}

let lost = false;
function listen() {
  const events = new EventSource(body.dataset.events);
  events.addEventListener("open", () => {
    say("");
    if (lost) refreshSoon();
    lost = false;
  });
  events.addEventListener("error", () => {
    lost = true;
    say("No word from the server: this page may be out of date. It goes on by itself when the server does.");
    if (events.readyState === EventSource.CLOSED) ask();  // else the browser tries again by itself
  });
  events.addEventListener("changed", event => document.dispatchEvent(new CustomEvent("changed-on-disk", {detail: JSON.parse(event.data)})));
  events.addEventListener("changed", event => { if (concerns(JSON.parse(event.data))) refreshSoon(); });
}

// Why there are no events: a server that was started again knows another token, until its address was opened once.
async function ask() {
  const answer = await fetch(body.dataset.events.replace(/events$/, "overview"), {method: "HEAD"}).catch(() => null);
  if (answer && answer.status === 403) say("The server was started again: open the address that it printed, in any tab.");
  setTimeout(answer && answer.ok ? listen : ask, 3000);
}

if (body.dataset.events) listen();

// --- paths -------------------------------------------------------------------------------------------------------

document.addEventListener("click", async event => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "copied";
  } catch {
    prompt("The path:", button.dataset.copy);
  }
});

begin(document);
