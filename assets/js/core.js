// what every panel stands on: strings, numbers, elements, and the seat: which conversation this tab shows, which
// books are chosen. A panel is a gr.HTML whose template is constant: Gradio compiles templates to code, so no
// title, text or answer may ever reach one. Panels draw themselves, with text nodes only.
(() => {
  if (window.Lectern) return;
  const given = window.lecternGiven;
  const panels = new Map();
  const mounted = new Map();

  // storage can be refused (a Space in a frame): the page then only forgets
  const store = {
    read(area, key) {
      try { return JSON.parse(window[area].getItem("lectern." + key)); } catch { return null; }
    },
    write(area, key, value) {
      try { window[area].setItem("lectern." + key, JSON.stringify(value)); } catch { /* nothing to do */ }
    },
  };

  // ---- language
  const languages = Object.keys(given.strings);
  const wanted = (tag) => languages.find((name) => (tag || "").toLowerCase().split("-")[0] === name);
  let language =
    wanted(store.read("localStorage", "language")) ||
    wanted(given.language) ||
    (navigator.languages || []).map(wanted).find(Boolean) ||
    "en";

  // numbers and times as the reader's own country writes them, where it speaks the language of the page
  const locale = () => (navigator.languages || []).find((tag) => wanted(tag) === language) || language;

  function lookup(key, n) {
    const table = given.strings[language];
    if (typeof n === "number") {
      const form = key + "." + new Intl.PluralRules(language).select(n);
      if (form in table) return table[form];
    }
    return table[key] ?? given.strings.en[key];
  }

  // t("context.books", {n: 2}): numbers are written as the language writes them
  function t(key, values = {}) {
    const text = lookup(key, values.n) ?? key;
    // between two Chinese characters stands no space: 1.2 万词元, but 526 词元
    return text.replace(/\{(\w+)\}( (?=\p{Script=Han}))?/gu, (whole, name, gap = "") => {
      if (!(name in values)) return whole;
      const value = typeof values[name] === "number" ? number(values[name]) : String(values[name]);
      return /\p{Script=Han}$/u.test(value) ? value : value + gap;
    });
  }

  // what the program says of an error, in the language of the page where its words are known there
  const forms = new Map();
  function sayings() {
    if (!forms.has(language)) {
      const plain = (text) => text.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
      forms.set(language, Object.entries(given.sayings[language] || {}).map(([from, to]) =>
        [new RegExp("^" + plain(from).replace(/\{(\w+)\}/g, "(?<$1>[^]+?)") + "$", "i"), to]));
    }
    return forms.get(language);
  }
  function said(text) {
    for (const [form, to] of sayings()) {
      const found = form.exec(text);
      if (found) return to.replace(/\{(\w+)\}/g, (whole, name) => said(found.groups[name]));
    }
    return text;
  }
  const known = (key) => lookup(key) !== undefined;
  const number = (value, options) => new Intl.NumberFormat(locale(), options).format(value);
  const list = (items, type = "conjunction") => new Intl.ListFormat(language, { type }).format(items);

  function tokens(count) {
    if (count < 10000) return number(count);
    return compact(count);
  }

  // 1.18M; 118 万, with the space that Chinese puts between a number and a character
  function compact(count) {
    const parts = new Intl.NumberFormat(locale(), { notation: "compact", maximumSignificantDigits: 3 }).formatToParts(count);
    return parts.map(({ type, value }) => (type === "compact" && /^\p{Script=Han}/u.test(value) ? "\u00a0" + value : value)).join("");
  }

  function duration(seconds) {
    if (seconds < 90) return t("time.seconds", { n: Math.max(1, Math.round(seconds)) });
    const minutes = Math.round(seconds / 60);
    if (minutes < 90) return t("time.minutes", { n: minutes });
    const hours = Math.floor(minutes / 60);
    return minutes % 60 && hours < 10
      ? t("time.hours_minutes", { h: hours, m: minutes % 60 })
      : t("time.hours", { n: Math.round(minutes / 60) });
  }

  function bytes(count) {
    const unit = count >= 1e9 ? ["gigabyte", 1e9] : count >= 1e6 ? ["megabyte", 1e6] : ["kilobyte", 1e3];
    return number(count / unit[1], { style: "unit", unit: unit[0], maximumFractionDigits: count >= 1e9 ? 1 : 0 });
  }

  function when(iso) {
    const date = new Date(iso);
    if (isNaN(date)) return "";
    const days = (Date.now() - date) / 86400000;
    if (new Date().toDateString() === date.toDateString()) {
      return new Intl.DateTimeFormat(locale(), { hour: "numeric", minute: "2-digit" }).format(date);
    }
    const options = days < 300 ? { month: "short", day: "numeric" } : { year: "numeric", month: "short", day: "numeric" };
    return new Intl.DateTimeFormat(locale(), options).format(date);
  }

  // ---- elements
  // h("p", {class: "x", onclick: f, aria: {label: "y"}}, "text", node): strings become text nodes, never markup
  function h(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === undefined || value === null || value === false) continue;
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (name === "aria") for (const key in value) element.setAttribute("aria-" + key, value[key]);
      else if (name === "data") Object.assign(element.dataset, value);
      else if (name === "style") for (const key in value) element.style.setProperty(key, value[key]);
      else if (name === "checked" || name === "value" || name === "disabled") element[name] = value;
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  }

  function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 20 20");
    svg.setAttribute("class", "icon");
    svg.setAttribute("aria-hidden", "true");
    for (const d of Lectern.icons[name]) {
      const path = document.createElementNS(svg.namespaceURI, "path");
      path.setAttribute("d", d);
      svg.append(path);
    }
    return svg;
  }

  function button(name, label, onclick, options = {}) {
    const { text, kind = "quiet", ...rest } = options;
    return h(
      "button",
      { type: "button", class: `button ${kind}${text ? "" : " bare"}`, title: text ? undefined : label, onclick,
        aria: text ? {} : { label }, ...rest },
      name && icon(name),
      text && h("span", {}, text),
    );
  }

  // children by key: an element whose data did not change is not touched, so focus and scroll stay where they are
  function keyed(parent, items, draw) {
    const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
    const active = document.activeElement;
    const held = active && parent.contains(active) ? [active.closest("[data-key]")?.dataset.key, active.dataset.focus] : null;
    const fresh = items.map(([key, data]) => {
      const stamp = language + JSON.stringify(data);
      const existing = old.get(String(key));
      if (existing && existing.stamp === stamp) return existing;
      const element = draw(data);
      element.dataset.key = key;
      element.stamp = stamp;
      return element;
    });
    const keep = new Set(fresh);
    for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
    fresh.forEach((child, index) => {
      if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] || null);
    });
    if (held && !parent.contains(document.activeElement)) {
      const home = [...parent.children].find((child) => child.dataset.key === held[0]);
      (home?.querySelector(`[data-focus="${held[1]}"]`) || home?.querySelector("[data-focus]"))?.focus();
    }
  }

  // a file made here, of {name, type, data}: base64
  function download(file) {
    const bytes = Uint8Array.from(atob(file.data), (one) => one.charCodeAt(0));
    const link = h("a", { href: URL.createObjectURL(new Blob([bytes], { type: file.type })), download: file.name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // ---- the seat
  const seat = {
    visitor: "",
    thread: store.read("sessionStorage", "thread") ?? store.read("localStorage", "thread"),
    chosen: store.read("sessionStorage", "chosen") ?? store.read("localStorage", "chosen") ?? [],
    // several books: each as it was read alone
    quick: (store.read("sessionStorage", "quick") ?? store.read("localStorage", "quick")) === true,
    digests: {},
    data() {
      return { visitor: seat.visitor, thread: seat.thread, chosen: seat.chosen, quick: seat.quick, digests: seat.digests, language };
    },
    keep() {
      for (const area of ["sessionStorage", "localStorage"]) {
        store.write(area, "thread", seat.thread);
        store.write(area, "chosen", seat.chosen);
        store.write(area, "quick", seat.quick);
      }
    },
  };

  // on a Space nothing can be put on a shelf before the server said whose it is
  let arrive;
  const arrived = new Promise((resolve) => { arrive = resolve; });
  function welcome(visitor) {
    if (visitor) seat.visitor = visitor;
    if (visitor || !given.space) arrive();
  }

  // ---- panels
  function mount(name, gradio) {
    const root = gradio.element.querySelector("[data-panel]");
    const send = (event, data = {}) => gradio.trigger(event, { ...data, seat: seat.data() });
    const panel = panels.get(name)(root, send, gradio);
    let last = {};
    const update = () => {
      const value = gradio.props.value || {};
      if (!value.held) {
        last = value;
        // gradio copies every value at every word of a streamed answer: what is large is kept here, not there
        if (!panel.streams && Object.keys(value).length) gradio.props.value = { held: true };
        if (value.digest) seat.digests[name] = value.digest;
      }
      panel.update(last);
    };
    mounted.set(name, { panel });
    gradio.watch("value", update);
    update();
  }

  function say(name, message, data) {
    mounted.get(name)?.panel[message]?.(data);
  }

  // as say, with an answer
  const ask = (name, message, ...data) => mounted.get(name)?.panel[message]?.(...data);

  // gradio writes the browser's language here; a screen reader must hear the one that is shown
  const root = document.documentElement;
  const told = () => { if (root.lang !== language) root.lang = language; };
  new MutationObserver(told).observe(root, { attributes: true, attributeFilter: ["lang"] });
  told();

  function redraw() {
    told();
    for (const { panel } of mounted.values()) (panel.relabel || panel.draw)?.();
  }

  // ---- appearance: the system's, until the reader says otherwise
  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
  function paint() {
    const chosen = store.read("localStorage", "appearance");
    const dark = chosen ? chosen === "dark" : systemDark.matches;
    document.documentElement.dataset.appearance = dark ? "dark" : "light";
    document.body?.classList.toggle("dark", dark);
  }
  systemDark.addEventListener("change", paint);

  window.Lectern = {
    given, store, seat, t, said, known, number, compact, list, tokens, duration, bytes, when, h, icon, button, keyed, mount, say, ask, download, arrived, welcome,
    panel: (name, make) => panels.set(name, make),
    language: () => language,
    setLanguage(name) {
      language = name;
      store.write("localStorage", "language", name);
      redraw();
    },
    toggleAppearance() {
      const dark = document.documentElement.dataset.appearance === "dark";
      store.write("localStorage", "appearance", dark ? "light" : "dark");
      paint();
    },
    setAppearance(name) {
      store.write("localStorage", "appearance", name === "system" ? null : name);
      paint();
    },
    paint,
  };
  paint();
})();
