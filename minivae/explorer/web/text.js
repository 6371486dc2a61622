// Every text in English and Chinese: t(en, zh) makes one, whose nodes change when the language does.

const LANGUAGES = ["en", "zh"];
const watchers = new Set();
let language = "en";

export const languages = LANGUAGES;

// A text, given as strings or as functions of nothing that return strings: t(() => `${n} draws`, () => `${n} 次抽样`).
export function t(en, zh) {
  return { en, zh };
}

// What a text says in the current language; strings and numbers are what they are.
export function say(text) {
  if (text === null || text === undefined) return "";
  if (typeof text !== "object") return String(text);
  const wording = text[language] ?? text.en;
  return typeof wording === "function" ? String(wording()) : wording;
}

export function currentLanguage() {
  return language;
}

export function setLanguage(name) {
  language = LANGUAGES.includes(name) ? name : "en";
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const write of watchers) write();
}

// Calls write() now, and again when the language has changed.
export function inEachLanguage(write) {
  watchers.add(write);
  write();
  return write;
}
