// An extraction as elements. All that comes from texts and models becomes text nodes, never markup.

const HUES = [210, 8, 130, 285, 38, 180, 330, 90, 250, 60];
const hues = new Map();

export function hueOf(type) {
  if (!hues.has(type)) hues.set(type, HUES[hues.size % HUES.length]);
  return hues.get(type);
}

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else if (key === "hue") made.style.setProperty("--hue", value);
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export function formatScore(score) {
  if (score === null || score === undefined) return "";
  return score > 0 && score < 0.005 ? "<0.01" : score.toFixed(2);
}

// Each mention once, those that begin first and are longest first.
export function mentionsOf(extraction) {
  const found = new Map();
  const entities = [
    ...extraction.entities,
    ...extraction.relations.flatMap((relation) => Object.values(relation.roles)),
  ];
  for (const entity of entities) {
    for (const [start, end] of entity.spans) {
      const id = `${start}-${end}-${entity.type}`;
      const hint = [entity.type, entity.identifier, formatScore(entity.score)].filter(Boolean).join(", ");
      if (start < end && (!found.has(id) || found.get(id).hint.length < hint.length)) {
        found.set(id, { start, end, type: entity.type, hint });
      }
    }
  }
  return [...found.values()].sort((a, b) => a.start - b.start || b.end - a.end);
}

// The text with its mentions marked. Of two that cross, the later one is marked in two pieces.
export function highlight(text, mentions) {
  const characters = Array.from(text); // spans count characters, not UTF-16 units
  const places = [...new Set([0, characters.length, ...mentions.flatMap((each) => [each.start, each.end])])]
    .filter((place) => place <= characters.length)
    .sort((a, b) => a - b);
  const whole = document.createDocumentFragment();
  let open = []; // { mention, mark }
  const top = () => (open.length ? open[open.length - 1].mark : whole);
  const begin = (mention) => {
    const mark = element("mark", {
      hue: hueOf(mention.type),
      title: mention.hint,
      "data-span": `${mention.start}-${mention.end}`,
    });
    top().append(mark);
    open.push({ mention, mark });
  };
  places.forEach((place, index) => {
    const first = open.findIndex(({ mention }) => mention.end <= place);
    if (first >= 0) {
      const again = open.slice(first).filter(({ mention }) => mention.end > place);
      for (const { mention, mark } of open.slice(first)) {
        if (mention.end <= place) mark.append(element("small", {}, ` ${mention.type}`));
      }
      open = open.slice(0, first);
      again.forEach(({ mention }) => begin(mention));
    }
    for (const mention of mentions) {
      if (mention.start === place && mention.end > place) begin(mention);
    }
    const next = places[index + 1];
    if (next !== undefined) top().append(characters.slice(place, next).join(""));
  });
  return whole;
}
