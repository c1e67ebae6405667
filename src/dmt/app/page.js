// What Gradio leaves open for keyboards and screen readers: which box a file goes to, and one stop for it instead of two.
() => {
  const mend = () => {
    for (const input of document.querySelectorAll("button input[type=file]:not([hidden])")) input.hidden = true;
    for (const button of document.querySelectorAll("button[aria-label='common.upload']")) {
      button.setAttribute("aria-label", "Add files");
      button.title = "Add files";
    }
    for (const button of document.querySelectorAll(".block button[aria-dropeffect]")) {
      const label = button.closest(".block").querySelector("[data-testid=block-label]");
      const name = `${label ? label.innerText.trim() : "Files"}: choose or drop`;
      if (button.getAttribute("aria-label") !== name) button.setAttribute("aria-label", name);
    }
  };
  new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
  mend();
};
