// Pages that are opened from disk may start no worker, which the search is: its script runs in an empty frame instead.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const base = new URL(url, document.baseURI)
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const inside = frame.contentWindow
      const load = (source) =>
        new Promise((resolve, reject) => {
          const script = frame.contentDocument.createElement("script")
          script.onload = resolve
          script.onerror = reject
          script.src = new URL(source, base)
          frame.contentDocument.body.append(script)
        })
      inside.importScripts = (...sources) => sources.reduce((before, source) => before.then(() => load(source)), Promise.resolve())
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
      this.send = (data) => inside.dispatchEvent(new inside.MessageEvent("message", { data }))
      this.ready = load(base)
    }
    postMessage(data) {
      this.ready.then(() => this.send(data))
    }
    terminate() {}
  }
}
