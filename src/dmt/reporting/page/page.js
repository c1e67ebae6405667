"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const say = (text) => { document.querySelector(".said").textContent = text; };

  // Light and dark: as the system says, until somebody says otherwise
  const theme = document.querySelector(".theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const kept = (set) => { try { return set ? localStorage.setItem("dmt-theme", set) : localStorage.getItem("dmt-theme"); } catch { return null; } };
  const show = () => theme.setAttribute("aria-pressed", String(isDark()));
  if (["dark", "light"].includes(kept())) root.dataset.theme = kept();
  theme.hidden = false;
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; kept(root.dataset.theme); show(); });
  system.addEventListener("change", show);
  show();

  // Pictures: the wipe, the way, the change
  for (const one of all("article.one")) {
    const stage = one.querySelector(".stage");
    if (!stage) continue;
    const wipe = stage.querySelector(".wipe"), way = one.querySelector(".way input"), change = one.querySelector(".show-change");
    const last = all(".after", one).length - 1;
    const cut = () => {
      stage.style.setProperty("--cut", `${wipe.value}%`);
      wipe.setAttribute("aria-valuetext", `${wipe.value} % before, ${100 - wipe.value} % after`);
    };
    const update = () => {
      const at = way ? Number(way.value) : last, isChange = change.getAttribute("aria-pressed") === "true";
      const steps = all(".change", one).map((image) => Number(image.dataset.step));
      const nearest = steps.includes(at) ? at : last;
      for (const image of all(".after", one)) image.hidden = Number(image.dataset.step) !== at;
      for (const image of all(".change", one)) image.hidden = !isChange || Number(image.dataset.step) !== nearest;
      for (const words of all(".words", one)) words.hidden = Number(words.dataset.step) !== nearest;
      stage.classList.toggle("at-change", isChange);
      if (way) {
        const label = one.querySelector(`.after[data-step="${at}"]`).dataset.label;
        one.querySelector(".way output").textContent = label;
        way.setAttribute("aria-valuetext", label);
      }
    };
    wipe.addEventListener("input", cut);
    if (way) way.addEventListener("input", update);
    change.addEventListener("click", () => {
      change.setAttribute("aria-pressed", String(change.getAttribute("aria-pressed") !== "true"));
      update();
    });
    cut();
    update();
  }

  // Maps: the straight one, or that of neighbours; all of the page are of one kind
  for (const which of all(".map .which")) which.hidden = false;
  for (const button of all(".map .which button")) {
    button.addEventListener("click", () => {
      const place = button.getBoundingClientRect().top;
      for (const figure of all(".map")) {
        const has = figure.querySelector("div.near") !== null;
        for (const kind of ["straight", "near"]) {
          const isShown = has ? kind === button.dataset.map : kind === "straight";
          for (const part of all(`div.${kind},.axes.${kind}`, figure)) part.hidden = !isShown;
          for (const other of all(`[data-map=${kind}]`, figure)) other.setAttribute("aria-pressed", String(isShown));
        }
      }
      scrollBy(0, button.getBoundingClientRect().top - place); // captions above may have grown
    });
  }

  // Tables: a head sorts, what is typed filters
  const collator = new Intl.Collator(undefined, { numeric: true });
  for (const whole of all(".sorted")) {
    const body = whole.querySelector("tbody"), heads = all("thead th", whole), filter = whole.querySelector("input[type=search]");
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const keyed = [...body.rows].map((row) => {
        const cell = row.cells[column], text = cell.textContent.trim();
        return { row, text, number: cell.dataset.value === undefined ? NaN : Number(cell.dataset.value) };
      });
      const order = (a, b) => {
        if (!a.text || !b.text) return Number(!a.text) - Number(!b.text); // what is empty stands last, whichever way
        if (!Number.isNaN(a.number) && !Number.isNaN(b.number)) return sign * (a.number - b.number);
        return sign * collator.compare(a.text, b.text);
      };
      body.append(...keyed.sort(order).map((each) => each.row));
    }));
    if (!filter) continue;
    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of body.rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += Number(!row.hidden);
      }
      whole.querySelector(".count").textContent = words.length ? `${shown} of ${body.rows.length}` : "";
    });
  }

  // The command
  for (const button of all(".copy")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
      } catch { // no leave, or no such thing: it is selected, and copied the old way if that works
        getSelection().selectAllChildren(code);
        document.execCommand("copy");
      }
      button.textContent = "Copied";
      say("The command is copied.");
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
})();
