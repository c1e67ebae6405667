// What Gradio leaves open for keyboards and screen readers: which box a file goes to, and one stop for it instead of two.
() => {
  const mend = () => {
    for (const input of document.querySelectorAll("button input[type=file]:not([hidden])")) input.hidden = true;
    for (const outer of document.querySelectorAll("button[aria-label='common.upload']")) {  // a button in a button
      const inner = outer.querySelector("button");
      outer.setAttribute("aria-label", "Add files");
      outer.title = "Add files";
      if (!inner) continue;
      inner.style.display = "none";
      outer.addEventListener("click", (event) => inner.contains(event.target) || inner.click());
    }
    for (const button of document.querySelectorAll(".block button[aria-dropeffect]")) {
      const label = button.closest(".block").querySelector("[data-testid=block-label]");
      const name = `${label ? label.innerText.trim() : "Files"}: choose or drop`;
      if (button.getAttribute("aria-label") !== name) button.setAttribute("aria-label", name);
    }
  };
  document.addEventListener("keydown", ({ key, target }) => {  // Enter in a list of choices: the focus stays there
    if (key !== "Enter" || target.getAttribute("role") !== "combobox") return;
    setTimeout(() => {
      if (document.activeElement !== document.body) return;
      target.focus();  // which opens the list again
      target.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
    }, 50);
  }, true);
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
  mend();
};
