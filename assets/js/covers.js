// covers of books
(() => {
  const { h } = Lectern;

  // covers are asked for when their cards come near the screen, some at a time, once each; without one a book has a
  // cloth of its own with its title
  const pictures = new Map(); // sha256 -> address, null where there is none
  const near = new Map(); // id -> sha256, about to be asked for
  let asking_covers = null;
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      near.set(Number(target.dataset.book), target.dataset.sha);
    }
    if (near.size && !asking_covers) asking_covers = setTimeout(fetchCovers, 60);
  }, { rootMargin: "300px" });
  async function fetchCovers() {
    const batch = [...near].slice(0, 40);
    for (const [id] of batch) near.delete(id);
    const { covers } = (await Lectern.ask("reader", "covers", batch.map(([id]) => id))) || {};
    for (const [id, sha] of batch) if (covers && id in covers) pictures.set(sha, covers[id]);
    for (const element of document.querySelectorAll(".cover[data-sha]")) {
      const picture = pictures.get(element.dataset.sha);
      if (picture && !element.querySelector("img")) element.append(h("img", { src: picture, alt: "" }));
    }
    asking_covers = near.size ? setTimeout(fetchCovers, 30) : null;
  }
  Lectern.cover = (item) => {
    const hue = parseInt((item.sha256 || "0").slice(0, 2), 16) % 8;
    const known = pictures.get(item.sha256);
    const element = h("span", { class: "cover", data: { cloth: hue, sha: item.sha256, book: item.id }, aria: { hidden: true } },
      h("span", { class: "cover-title" }, [...(item.title || item.filename)].slice(0, 24).join("")),
      h("span", { class: "cover-format" }, item.format),
      known && h("img", { src: known, alt: "" }));
    if (known === undefined) watcher.observe(element);
    return element;
  };
})();
