// The figures of the status page, again every few seconds while the page is seen.

const section = document.querySelector("[data-figures]");

async function show() {
  if (document.hidden) return;
  try {
    const answer = await fetch(section.dataset.figures, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    for (const [name, value] of Object.entries(await answer.json())) {
      const figure = section.querySelector(`[data-figure="${name}"]`);
      if (figure && figure.textContent !== value) figure.textContent = value;
    }
  } catch {
    // the connection was lost: it is asked again later
  }
}

setInterval(show, 5000);
