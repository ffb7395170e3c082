// The picks on one micrograph, all that was done to them, and what is not saved yet. Places are in px of the file.

class PickSheet {
  constructor(found, key) {
    Object.assign(this, found, {key, done: [], undone: [], saved: PickSheet.words(found.places, found.selected)});
  }

  static words(places, selected) { return `${selected ? 1 : 0} ${places.map(place => place.join()).join(" ")}`; }

  changed() { return PickSheet.words(this.places, this.selected) !== this.saved; }

  // Each change is a new list, so that taking one back is having the list of before.
  set(places) {
    this.done.push(this.places);
    this.undone = [];
    this.places = places;
  }

  undo() { this.step(this.done, this.undone); }

  redo() { this.step(this.undone, this.done); }

  step(from, to) {
    if (!from.length) return;
    to.push(this.places);
    this.places = from.pop();
  }

  inside([x, y]) { return x >= 0 && y >= 0 && x <= this.width - 1 && y <= this.height - 1; }

  nearest(x, y, within) {
    let found = -1, least = within * within;
    this.places.forEach(([px, py], index) => {
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far <= least) [found, least] = [index, far];
    });
    return found;
  }

  add(place) { if (this.inside(place)) this.set([...this.places, place]); }

  erase(x, y, within) {
    const index = this.nearest(x, y, within);
    if (index >= 0) this.set(this.places.filter((_, other) => other !== index));
  }

  // What lies within a brush goes; a stroke is one change, which began with `before`.
  brush(x, y, within) { this.places = this.places.filter(([px, py]) => (px - x) ** 2 + (py - y) ** 2 > within * within); }

  endStroke(before) {
    const now = this.places;
    this.places = before;
    if (now.length !== before.length) this.set(now);
  }

  // --- what is not saved stays in this tab -------------------------------------------------------------------------

  keep() {
    try {
      if (this.changed()) sessionStorage.setItem(this.key, JSON.stringify({places: this.places, selected: this.selected}));
      else sessionStorage.removeItem(this.key);
    } catch { /* a full store: the page still has them, and warns before it is left */ }
  }

  kept() {
    try {
      const found = JSON.parse(sessionStorage.getItem(this.key));
      return found && PickSheet.words(found.places, found.selected) !== this.saved ? found : null;
    } catch { return null; }
  }

  text() { return this.places.map(place => place.join(" ")).join("\n"); }
}
