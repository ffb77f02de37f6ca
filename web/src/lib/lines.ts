// Logs, window by window: each comes with the number of its first line, and lines that a window cuts
// are put together.

import type { TextWindow } from './artefact-types';

/** Lines that stand in the page at once; the oldest make room. A browser is slow with many more. */
export const LINES_MOST = 20_000;
/** Bytes that are asked for at once. */
export const WINDOW_BYTES = 256 * 1024;

export interface Lines {
  /** The number of the first line, from 1. */
  first: number;
  lines: string[];
  /** The last line is not whole yet. */
  isCut: boolean;
  /** Where it goes on, in bytes; null at the end. */
  next: number | null;
  total: number | null;
}

export const NO_LINES: Lines = { first: 1, lines: [], isCut: false, next: 0, total: null };

/** What is there, with the window behind it. */
export function appended(before: Lines, window: TextWindow): Lines {
  const parts = window.text.split('\n');
  const next = window.next ?? null;
  // Behind the last line feed there is a line only if it has something in it.
  const isCut = parts.at(-1) !== '' && next !== null;
  if (parts.at(-1) === '') parts.pop();
  const lines = [...before.lines];
  if (before.isCut) lines.push((lines.pop() ?? '') + (parts.shift() ?? ''));
  for (const part of parts) lines.push(part);
  const gone = Math.max(lines.length - LINES_MOST, 0);
  return {
    first: before.first + gone,
    lines: gone > 0 ? lines.slice(gone) : lines,
    isCut: isCut || (before.isCut && window.text === '' && next !== null),
    next,
    total: window.total ?? before.total,
  };
}

/** The numbers beside the lines, as one text. */
export function numbersOf({ first, lines }: Lines): string {
  return lines.map((_line, index) => first + index).join('\n');
}

/** Bytes as an editor of bytes shows them: 16 a line, with what can be read. */
export function hexLines(hex: string): string[] {
  const bytes = hex.match(/../g) ?? [];
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const some = bytes.slice(at, at + 16);
    const readable = some.map((byte) => {
      const code = Number.parseInt(byte, 16);
      return code >= 0x20 && code < 0x7f ? String.fromCharCode(code) : '·';
    });
    const offset = at.toString(16).padStart(4, '0');
    lines.push(`${offset}  ${some.join(' ').padEnd(47)}  ${readable.join('')}`);
  }
  return lines;
}
