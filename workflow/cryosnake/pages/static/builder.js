// The job builder: what the form amounts to while it is typed, and outputs that are dragged onto inputs.

const builder = document.querySelector(".builder");

let checks = 0;
async function checkForm() {
  const number = ++checks;
  const words = new URLSearchParams(new FormData(builder));
  words.delete("stamp");
  const answer = await fetch(`${builder.dataset.check}?${words}`);
  if (!answer.ok || number !== checks) return;  // a later one has been asked for
  const found = await answer.json();
  for (const [name, text] of Object.entries(found.problems)) {
    const line = document.getElementById(`problem-${name}`), control = document.getElementById(`f-${name}`);
    if (line) line.textContent = text;
    if (control) control.setAttribute("aria-invalid", text ? "true" : "false");
  }
  document.getElementById("problem").textContent = found.problem;
  builder.querySelector(".entry").textContent = found.entry;
  builder.querySelector(".command").textContent = found.command;
  const name = builder.elements.name.value;
  builder.querySelector(".follows").textContent = found.number
    ? `${name} gets a new number${found.follow.length ? `, and so do ${found.follow.join(", ")}` : ""}.` : "";
  builder.dataset.checked = words;
}

let typing = 0;
builder.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(checkForm, 150);
});

// --- dragging: pointer events, so that it works by touch and pen, too ---------------------------------------------

let dragged = null;

function slotAt(event) {
  const field = document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-slot]");
  return field && dragged.dataset.fits.split(" ").includes(field.dataset.field) ? field : null;
}

const unmark = () => builder.querySelectorAll(".under").forEach(field => field.classList.remove("under"));

document.querySelectorAll("[data-output]").forEach(item => item.addEventListener("pointerdown", event => {
  event.preventDefault();
  dragged = item;
  document.body.classList.add("dragging");
  builder.querySelectorAll("[data-slot]").forEach(field =>
    field.classList.toggle("fits", item.dataset.fits.split(" ").includes(field.dataset.field)));
}));

addEventListener("pointermove", event => {
  if (!dragged) return;
  unmark();
  slotAt(event)?.classList.add("under");
});

addEventListener("pointerup", event => {
  if (!dragged) return;
  const field = slotAt(event);
  if (field) {
    field.querySelector("select").value = dragged.dataset.output;
    field.querySelector("input").value = "";
    checkForm();
  }
  unmark();
  builder.querySelectorAll(".fits").forEach(one => one.classList.remove("fits"));
  document.body.classList.remove("dragging");
  dragged = null;
});
