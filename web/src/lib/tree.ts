// JSON values as a tree that is folded: what a value is called in one line, and its parts.

export type Json = unknown;
export type JsonObject = Record<string, Json>;

export const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const isContainer = (value: Json): value is JsonObject | Json[] =>
  typeof value === 'object' && value !== null;

/** Parts that are shown before somebody asks for more: a list may have a hundred thousand. */
export const PARTS_STEP = 100;

/** The first so many parts, each with its name. */
export function partsOf(value: JsonObject | Json[], most: number): [name: string, part: Json][] {
  if (Array.isArray(value)) {
    return value.slice(0, most).map((part, index) => [String(index), part]);
  }
  return Object.entries(value).slice(0, most);
}

export const countOf = (value: JsonObject | Json[]): number =>
  Array.isArray(value) ? value.length : Object.keys(value).length;

/** `3 items`, `1 field`, or that there is none. */
export function foldedWords(value: JsonObject | Json[]): string {
  const count = countOf(value);
  const isList = Array.isArray(value);
  if (count === 0) return isList ? '[]' : '{}';
  const unit = isList ? 'item' : 'field';
  return `${isList ? '[' : '{'} ${count} ${count === 1 ? unit : `${unit}s`} ${isList ? ']' : '}'}`;
}

export type LeafKind = 'text' | 'number' | 'word';

/** What is neither a list nor an object, as JSON writes it. */
export const leafText = (value: Json): string => JSON.stringify(value) ?? 'undefined';
export function leafKind(value: Json): LeafKind {
  if (typeof value === 'string') return 'text';
  return typeof value === 'number' ? 'number' : 'word';
}

/** The value of a text; nothing when it is not JSON, or not all of it. */
export function parsed(text: string): { value: Json } | null {
  try {
    return { value: JSON.parse(text) as Json };
  } catch {
    return null;
  }
}
