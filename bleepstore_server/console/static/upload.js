// Uploads: files that are chosen or dropped, two at a time, with progress, pause and resume.
//
// A small file is one request. A large one is an upload in parts: what was sent counts, also after a pause, a broken
// connection, or when the page is opened anew and the same file is chosen again.

import { watchMarks } from "./console.js";

const AT_ONCE = 2;
const TRIES = 4;
const MAX_PARTS = 9000;

const section = document.getElementById("upload");
const list = document.getElementById("transfers");
const status = document.getElementById("transfers_status");
const texts = section ? JSON.parse(section.dataset.texts) : {};
const single = Number(section?.dataset.single);
const transfers = [];

class Refused extends Error {
  constructor(message, again) {
    super(message);
    this.again = again; // whether the same may work when it is tried again
  }
}

function address(path, query) {
  return `${section.dataset.url}${path}?${new URLSearchParams(query)}`;
}

/** A request that tells its progress and can be broken off. Resolves with the JSON of the answer. */
function send(method, url, body, { progress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.open(method, url);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRF-Token", section.dataset.csrf);
    request.upload.onprogress = (event) => progress?.(event.loaded);
    request.onerror = () => reject(new Refused(texts.network, true));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    request.onload = () => {
      signal?.removeEventListener("abort", stop);
      let answer = {};
      try {
        answer = JSON.parse(request.responseText || "{}");
      } catch {
        // no JSON: the status says enough
      }
      if (request.status >= 200 && request.status < 300) resolve(answer);
      else if (request.status === 401) reject(new Refused(texts.session, false));
      else reject(new Refused([answer.message || String(request.status), answer.detail].filter(Boolean).join(" "), request.status >= 500));
    };
    signal?.addEventListener("abort", stop);
    request.send(body);
  });
}

async function withTries(work, signal) {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Refused && error.again) || tries === TRIES || signal.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, 250 * 2 ** tries));
    }
  }
}

/** Where this browser remembers which upload a file belongs to. */
const memory = {
  name: (transfer) => `bleepstore upload ${JSON.stringify([section.dataset.bucket, transfer.key, transfer.file.size, transfer.file.lastModified])}`,
  get: (transfer) => { try { return localStorage.getItem(memory.name(transfer)); } catch { return null; } },
  set: (transfer, id) => { try { localStorage.setItem(memory.name(transfer), id); } catch { /* no memory: no resume */ } },
  remove: (transfer) => { try { localStorage.removeItem(memory.name(transfer)); } catch { /* nor this */ } },
};

class Transfer {
  constructor(file, key) {
    Object.assign(this, { file, key, state: "waiting", sent: 0, reason: "", control: null, uploadId: null });
    this.row = document.createElement("li");
    const name = Object.assign(document.createElement("span"), { className: "name", textContent: key });
    this.bar = Object.assign(document.createElement("progress"), { max: Math.max(file.size, 1), value: 0 });
    this.bar.setAttribute("aria-label", key);
    this.told = Object.assign(document.createElement("span"), { className: "state" });
    this.buttons = Object.assign(document.createElement("span"), { className: "buttons" });
    this.pauseButton = this.button("pause", () => this.pause());
    this.resumeButton = this.button("resume", () => this.resume());
    this.retryButton = this.button("retry", () => this.resume());
    this.cancelButton = this.button("cancel", () => this.cancel());
    this.row.append(name, this.bar, this.told, this.buttons);
    list.append(this.row);
    this.show("waiting");
  }

  button(name, act) {
    const made = Object.assign(document.createElement("button"), { type: "button", className: "quiet small", textContent: texts[name] });
    made.setAttribute("aria-label", `${texts[name]} ${this.key}`);
    made.addEventListener("click", act);
    this.buttons.append(made);
    return made;
  }

  show(state, more = "") {
    this.state = state;
    this.row.dataset.state = state;
    const percent = state === "sending" ? ` ${Math.floor((100 * this.sent) / Math.max(this.file.size, 1))} %` : "";
    this.told.textContent = texts[state].replace("{reason}", this.reason) + percent + more;
    this.bar.value = state === "done" ? this.bar.max : this.sent;
    this.pauseButton.hidden = !["waiting", "sending"].includes(state);
    this.resumeButton.hidden = state !== "paused";
    this.retryButton.hidden = state !== "failed";
    this.cancelButton.hidden = ["done", "stopped"].includes(state);
  }

  pause() {
    this.show("paused");
    this.control?.abort();
    tell();
  }

  resume() {
    this.reason = "";
    this.show("waiting");
    tell();
    go();
  }

  async cancel() {
    const id = this.uploadId;
    this.show("stopped");
    this.control?.abort();
    memory.remove(this);
    if (id) {
      await send("DELETE", address(`/uploads/${id}`, { key: this.key })).catch(() => {});
    }
    tell();
    go();
  }

  async run() {
    this.control = new AbortController();
    this.show("sending");
    try {
      if (this.file.size <= single) await this.sendWhole();
      else await this.sendParts();
      this.show("done");
    } catch (error) {
      if (error.name !== "AbortError") {
        this.reason = error.message;
        this.show("failed");
      }
    }
    this.control = null;
  }

  progress(before) {
    return (loaded) => {
      this.sent = Math.min(before + loaded, this.file.size);
      if (this.state === "sending") this.show("sending");
    };
  }

  sendWhole() {
    const { signal } = this.control;
    const url = address("/objects", { key: this.key, type: this.file.type });
    return withTries(() => send("PUT", url, this.file, { signal, progress: this.progress(0) }), signal);
  }

  async sendParts() {
    const { signal } = this.control;
    const size = Math.max(single, Math.ceil(this.file.size / MAX_PARTS));
    const parts = await this.begun(size);
    const count = Math.ceil(this.file.size / size);
    for (let number = 1; number <= count; number++) {
      const [from, to] = [(number - 1) * size, Math.min(number * size, this.file.size)];
      if (!parts.has(number)) {
        const url = address(`/uploads/${this.uploadId}/${number}`, { key: this.key });
        const piece = this.file.slice(from, to);
        const part = await withTries(() => send("PUT", url, piece, { signal, progress: this.progress(from) }), signal);
        parts.set(number, part.etag);
      }
      this.progress(from)(to - from);
    }
    const listed = [...parts].sort(([a], [b]) => a - b).map(([number, etag]) => ({ number, etag }));
    const url = address(`/uploads/${this.uploadId}/complete`, { key: this.key });
    await withTries(() => send("POST", url, JSON.stringify(listed), { signal }), signal);
    memory.remove(this);
    this.uploadId = null;
  }

  /** What was sent already, of an upload that was begun earlier; or a new upload. */
  async begun(size) {
    const { signal } = this.control;
    const parts = new Map();
    this.uploadId ??= memory.get(this);
    if (this.uploadId) {
      try {
        const found = await send("GET", address(`/uploads/${this.uploadId}`, { key: this.key }), null, { signal });
        for (const part of found.parts) {
          const whole = Math.min(part.number * size, this.file.size) - (part.number - 1) * size;
          if (part.size === whole) parts.set(part.number, part.etag);
        }
        if (parts.size) this.show("sending", ` – ${texts.resumed}`);
        return parts;
      } catch (error) {
        if (!(error instanceof Refused) || error.again) throw error;
        this.uploadId = null; // it was stopped or has expired
      }
    }
    const made = await send("POST", address("/uploads/begin", { key: this.key, type: this.file.type }), null, { signal });
    this.uploadId = made.upload_id;
    memory.set(this, made.upload_id);
    return parts;
  }
}

/** What a screen reader hears: how many files are done, and not each percent. */
function tell() {
  const counts = (state) => transfers.filter((one) => one.state === state).length;
  const [done, failed, total] = [counts("done"), counts("failed"), transfers.length];
  const open = counts("waiting") + counts("sending") + counts("paused");
  let text = texts.progress.replace("{done}", done).replace("{total}", total);
  if (!open) text = failed ? texts.some_failed.replace("{count}", failed).replace("{total}", total) : texts.all_done;
  if (status.textContent !== text) status.textContent = text;
  section.dataset.open = open;
}

async function go() {
  while (transfers.filter((one) => one.control).length < AT_ONCE) {
    const next = transfers.find((one) => one.state === "waiting" && !one.control);
    if (!next) break;
    next.run().then(() => {
      tell();
      if (next.state === "done") refresh();
      go();
    });
  }
}

/** The listing as it is now, without the page being opened anew. */
let refreshing = null;
function refresh() {
  refreshing ??= (async () => {
    await new Promise((resolve) => setTimeout(resolve, 150)); // several may be done at once
    refreshing = null;
    const answer = await fetch(location.href);
    if (!answer.ok || answer.redirected) return;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("listing");
    if (!found) return;
    const marked = new Set([...document.querySelectorAll("#listing input[name=key]:checked")].map((one) => one.value));
    document.getElementById("listing").replaceWith(found);
    for (const one of found.querySelectorAll("input[name=key]")) one.checked = marked.has(one.value);
    watchMarks(found);
  })();
}

function add(files) {
  for (const [file, path] of files) transfers.push(new Transfer(file, section.dataset.folder + path));
  list.hidden = transfers.length === 0;
  tell();
  go();
}

/** The files of what was dropped, also of folders, with their paths. */
async function filesOf(entry, path = "") {
  if (entry.isFile) return [[await new Promise((resolve, reject) => entry.file(resolve, reject)), path + entry.name]];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const one of some) found.push(...(await filesOf(one, `${path}${entry.name}/`)));
  }
}

if (section) {
  for (const id of ["files", "tree"]) {
    const input = document.getElementById(id);
    input.addEventListener("change", () => {
      add([...input.files].map((file) => [file, file.webkitRelativePath || file.name]));
      input.value = "";
    });
  }
  const page = document.documentElement;
  page.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    section.classList.add("over");
  });
  page.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) section.classList.remove("over");
  });
  page.addEventListener("drop", async (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    section.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = [...event.dataTransfer.files].map((file) => [file, file.name]);
    add(entries.length ? (await Promise.all(entries.map((entry) => filesOf(entry)))).flat() : files);
  });
  window.addEventListener("beforeunload", (event) => {
    if (transfers.some((one) => one.control)) event.preventDefault();
  });
}
