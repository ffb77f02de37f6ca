// The keys that work on all pages. They act on what is marked in the page: `data-search` is the
// field or editor that `/` goes to, `data-row` is the link or summary of a row.

import { address } from '../lib/api';
import { shared } from '../lib/links';
import { router } from '../lib/router.svelte';
import { runsLink } from '../lib/run-links';
import { BASE, RUNS, START } from '../lib/routes';
import { AREAS, areaOf } from './areas';

const HOME = { key: 'h', name: 'Landline', path: START };

export const KEYS: [keys: string[], what: string][] = [
  [['/'], 'Search, or write a query'],
  [['j'], 'Next row'],
  [['k'], 'Previous row'],
  [['Enter'], 'Open the row'],
  ...AREAS.flatMap((area) => area.pages.map(
    ({ key, name }): [string[], string] => [['g', key], `${area.name}: ${name}`],
  )),
  [['g', HOME.key], 'First page of Landline'],
  [['Esc'], 'Close, or leave a field'],
  [['?'], 'This list'],
];

/** How long after `g` a letter still belongs to it. */
const SEQUENCE_MS = 1_500;
let wentAt = 0;

export function onKey(event: KeyboardEvent, showKeys: () => void): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (event.key === 'Escape') return escape();
  if (isTyping(event) || document.querySelector('dialog[open]')) return;
  const isAfterG = event.timeStamp - wentAt < SEQUENCE_MS && wentAt > 0;
  wentAt = 0;
  if (isAfterG && go(event.key)) return event.preventDefault();
  switch (event.key) {
    case '/': search(); break;
    case '?': showKeys(); break;
    case 'g': wentAt = event.timeStamp; break;
    case 'j': move(1); break;
    case 'k': move(-1); break;
    default: return;
  }
  event.preventDefault();
}

function go(key: string): boolean {
  if (key === HOME.key) {
    router.go(HOME.path);
    return true;
  }
  const page = AREAS.flatMap((area) => area.pages).find((one) => one.key === key);
  if (page) router.go(address(page.path, shared(router.query)));
  return page !== undefined;
}

function search(): void {
  const field = document.querySelector<HTMLInputElement>('[data-search]');
  const editor = field?.shadowRoot?.querySelector<HTMLElement>('[contenteditable]');
  if (editor) return editor.focus();
  // On a narrow screen the field is folded away with the other filters.
  const folded = field?.closest('details');
  if (folded) folded.open = true;
  if (field) return field.select();
  const query = { ...shared(router.query), focus: 'search' };
  const isOfRuns = areaOf(router.route)?.path === RUNS;
  router.go(isOfRuns ? runsLink(query) : address(`${BASE}/records`, query));
}

function move(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>('[data-row]')];
  const row = document.activeElement?.closest('tr, details, article')?.querySelector<HTMLElement>('[data-row]');
  const at = row ? rows.indexOf(row) : -1;
  const next = rows[at === -1 ? (by > 0 ? 0 : rows.length - 1) : at + by];
  next?.focus();
  next?.scrollIntoView({ block: 'nearest' });
}

function escape(): void {
  const active = document.activeElement;
  const opened = active?.closest<HTMLDetailsElement>('details.popover[open]') ??
    document.querySelector<HTMLDetailsElement>('details.popover[open]');
  if (opened) {
    opened.open = false;
    opened.querySelector('summary')?.focus();
  } else if (active instanceof HTMLElement) {
    active.blur();
  }
}

function isTyping(event: KeyboardEvent): boolean {
  // The editor of queries is in a tree of its own, of which the event names only the outside.
  const target = event.composedPath()[0];
  return target instanceof HTMLElement &&
    (target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName));
}
