// What every page has: small helpers that the pages also work without.

const $all = (selector, root = document) => [...root.querySelectorAll(selector)];

/** Ask before what cannot be undone. */
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-confirm]");
  if (button && !window.confirm(button.dataset.confirm)) event.preventDefault();
});

/** The choice of colors counts at once; the button is for those without script. */
for (const select of $all("[data-submit-on-change]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}
for (const button of $all("[data-without-script]")) button.hidden = true;

/** Marks of a listing: all at once, and a button that counts only with a mark. */
export function watchMarks(root = document) {
  for (const form of $all("[data-marks]", root)) {
    const all = form.querySelector("[data-mark-all]");
    const marks = $all("input[name=key]", form);
    const buttons = $all("[data-needs-mark]", form);
    const show = () => {
      const count = marks.filter((mark) => mark.checked).length;
      for (const button of buttons) button.disabled = count === 0;
      if (all) {
        all.checked = count > 0 && count === marks.length;
        all.indeterminate = count > 0 && count < marks.length;
      }
    };
    all?.addEventListener("change", () => {
      for (const mark of marks) mark.checked = all.checked;
      show();
    });
    for (const mark of marks) mark.addEventListener("change", show);
    show();
  }
}
watchMarks();

/** The sizes of buckets, one after the other, for some seconds: to count a large one may take its time. */
async function showUsage() {
  const begun = performance.now();
  for (const row of $all("[data-usage]")) {
    if (performance.now() - begun > 5000) return;
    try {
      const answer = await fetch(row.dataset.usage, { headers: { Accept: "application/json" } });
      if (!answer.ok) continue;
      const { bytes, objects } = await answer.json();
      row.querySelector("[data-usage-bytes]").textContent = bytes;
      row.querySelector("[data-usage-objects]").textContent = objects;
    } catch {
      return; // the connection was lost: what is shown stays
    }
  }
}
showUsage();

for (const form of $all("[data-open-bucket]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.href = `${form.getAttribute("action")}/${encodeURIComponent(form.elements.open.value)}`;
  });
}

for (const button of $all("[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    source.select?.();
    try {
      await navigator.clipboard.writeText(source.value ?? source.textContent);
      button.textContent = button.dataset.copied;
    } catch {
      // It is marked, at least.
    }
  });
}
