/* The list of the samples that were found: a table, a page of it at a time, so that its length costs nothing. */

const ROWS = 50;
const SORTED = { ascending: "descending", descending: "none", none: "ascending" };

const linkTo = (store, at) => `#sample=${encodeURIComponent(store.value("id", at))}`;

class SampleTable {
  constructor(store, onSort) {
    this.store = store;
    this.onSort = onSort;
    this.places = [];
    this.first = 0;
    this.open = null;
    this.body = byId("rows");
    this.body.addEventListener("keydown", (event) => this.walk(event));
    this.body.addEventListener("click", (event) => this.follow(event));
    byId("page-before").addEventListener("click", () => this.turn(this.first - ROWS));
    byId("page-after").addEventListener("click", () => this.turn(this.first + ROWS));
    for (const head of document.querySelectorAll("#list th[data-column]")) {
      head.querySelector("button").addEventListener("click", () => this.sort(head));
    }
  }

  show(places) {
    this.places = places;
    this.turn(0);
  }

  /** Mark a sample as the one that is open, on the page of the list where it is. */
  mark(at) {
    this.open = at;
    const place = this.places.indexOf(at);
    if (place >= 0) this.turn(Math.floor(place / ROWS) * ROWS);
    this.reveal(this.body.querySelector("[aria-current]"));
  }

  turn(first) {
    this.first = Math.max(0, Math.min(first, Math.floor((this.places.length - 1) / ROWS) * ROWS));
    const page = this.places.slice(this.first, this.first + ROWS);
    this.body.replaceChildren(...page.map((at) => this.row(at)));
    this.reach(this.body.querySelector("[aria-current]") ?? this.body.firstElementChild);
    byId("page-before").disabled = this.first === 0;
    byId("page-after").disabled = this.first + ROWS >= this.places.length;
    byId("page-now").textContent = page.length === 0 ? "nothing found"
      : `${(this.first + 1).toLocaleString("en-US")} – ${(this.first + page.length).toLocaleString("en-US")}`;
  }

  /** Scroll the list, never the page. */
  reveal(row) {
    if (!row) return;
    const [box, line] = [this.body.closest(".rows"), row.getBoundingClientRect()];
    const { top, bottom } = box.getBoundingClientRect();
    if (line.top < top || line.bottom > bottom) box.scrollTop += line.top - (top + bottom) / 2;
  }

  row(at) {
    const { outcome, reason } = this.store.why(at);
    const cell = (name) => make("td", { class: "n" }, shown(this.store.value(name, at)));
    const link = make("a", { href: linkTo(this.store, at), tabindex: "-1" }, badge(outcome), " ",
      make("bdi", { class: reason ? "why" : "why muted" }, reason || this.store.value("id", at)));
    const begin = make("span", { class: "begin", dir: "auto" }, this.store.value("begin", at) || "∅");
    return make("tr", { "data-at": at, "aria-current": at === this.open ? "true" : null },
      make("th", { scope: "row" }, link, begin), cell("alpha_mean"), cell("ess_ratio_mean"), cell("tokens"));
  }

  /** A click anywhere in a row opens its sample, unless text is being selected. */
  follow(event) {
    const row = event.target.closest("tr");
    if (row && !event.target.closest("a") && String(getSelection()) === "") row.querySelector("a").click();
  }

  /** Arrow keys walk through the list, across its pages. */
  walk(event) {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    const row = event.target.closest("tr");
    if (!step || !row || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = this.places.indexOf(Number(row.dataset.at)) + step;
    const next = Math.max(0, Math.min(place, this.places.length - 1));
    if (next < this.first || next >= this.first + ROWS) this.turn(Math.floor(next / ROWS) * ROWS);
    const target = this.body.children[next - this.first];
    this.reach(target);
    this.reveal(target);
    target.querySelector("a").focus({ preventScroll: true });
    event.preventDefault();
  }

  /** One row of the list can be reached by tab; arrow keys lead on from there. */
  reach(row) {
    this.body.querySelector('a[tabindex="0"]')?.setAttribute("tabindex", "-1");
    row?.querySelector("a").setAttribute("tabindex", "0");
  }

  sort(head) {
    const next = SORTED[head.getAttribute("aria-sort") ?? "none"];
    for (const other of document.querySelectorAll("#list th[data-column]")) {
      other.setAttribute("aria-sort", other === head ? next : "none");
    }
    this.onSort({ column: next === "none" ? null : head.dataset.column, descending: next === "descending" });
  }
}
