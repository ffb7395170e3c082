// The list of micrographs beside the one that is picked on.

const MOST_LISTED = 200;

class MicrographList {
  constructor(box) { this.box = box; }

  // A window of the list around this micrograph: ten thousand rows are too many for a page.
  show(list, sheets, current) {
    const word = this.box.querySelector(".word").value.toLowerCase(), fitting = list.filter(one => one.name.toLowerCase().includes(word));
    const place = fitting.findIndex(one => one.name === current);
    const first = Math.max(0, Math.min(place - MOST_LISTED / 2, fitting.length - MOST_LISTED)), part = fitting.slice(first, first + MOST_LISTED);
    const state = part.map(one => [one.name, sheets.get(one.name)?.places.length ?? one.picks, sheets.get(one.name)?.changed(), one.origin, one.earlier, one.selected, one.name === current]);
    const words = JSON.stringify(state);
    if (words === this.listed) return;
    this.listed = words;
    this.box.querySelector(".list tbody").replaceChildren(...state.map(one => this.row(...one)));
    const frame = this.box.querySelector(".list"), here = frame.querySelector("[aria-current]")?.closest("tr");
    if (here) frame.scrollTop = here.offsetTop - frame.clientHeight / 2;
    this.box.querySelector(".more").textContent = fitting.length > part.length ? `${first + 1} to ${first + part.length} of ${fitting.length.toLocaleString("en")}` : `${fitting.length} micrographs`;
  }

  row(name, picks, changed, origin, earlier, selected, here) {
    const row = document.createElement("tr"), button = document.createElement("button"), marks = [];
    if (changed) marks.push("not saved");
    if (origin === "automatic" && !changed) marks.push("automatic");
    if (origin === "relion") marks.push("in RELION");
    if (earlier) marks.push("made on the earlier motion correction");
    if (!selected) marks.push("not used");
    Object.assign(button, {type: "button", textContent: name.split("/").pop(), title: name, className: "plain"});
    button.dataset.name = name;
    if (here) button.setAttribute("aria-current", "true");
    const cells = [button, String(picks || ""), marks.join(", ")].map(content => { const cell = document.createElement("td"); cell.append(content); return cell; });
    cells[1].className = "n";
    row.append(...cells);
    return row;
  }
}
