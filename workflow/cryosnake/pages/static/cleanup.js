// The clean-up: figures follow each tick; the server counts.

const cleaning = document.querySelector(".cleaning");
document.querySelector(".scriptless").hidden = true;
let asked = 0;

cleaning.addEventListener("change", async () => {
  const number = ++asked;
  const address = `${cleaning.action}?${new URLSearchParams(new FormData(cleaning))}`;
  const answer = await fetch(address);
  if (!answer.ok || number !== asked) return;  // a later tick has been asked for
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelectorAll("[data-figures]").forEach(part =>
    part.replaceWith(document.adoptNode(fresh.querySelector(`[data-figures=${part.dataset.figures}]`))));
  history.replaceState(null, "", address);
});
