// Where we are, and going elsewhere without leaving the program.

import { isPagePath, movedTo, routeOf } from './routes';

/** What an entry of the browser's history remembers for us. */
interface Entry {
  /** The `before` of the newer pages that led here, so that "Newer" can go back through them. */
  newer?: string[];
}

class Router {
  path = $state(location.pathname);
  search = $state(location.search);
  entry = $state.raw<Entry>((history.state as Entry | null) ?? {});
  /** When somebody last went anywhere: ranges such as the last 24 hours end then. */
  visitedAt = $state(Date.now());
  /** Counts the times somebody asked for where they are already: they want it anew. */
  repeats = $state(0);
  /** Counts the times somebody went to another path, for what has to be done on arrival. */
  arrivals = $state(0);

  readonly query = $derived(new URLSearchParams(this.search));
  readonly route = $derived(routeOf(this.path, this.query));

  go(url: string, how: { replace?: boolean; entry?: Entry } = {}): void {
    const to = new URL(url, location.href);
    const isElsewhere = to.pathname !== this.path;
    const address = to.pathname + to.search;
    const isHere = address === this.path + this.search;
    if (how.replace || isHere) history.replaceState(how.entry ?? {}, '', address);
    else history.pushState(how.entry ?? {}, '', address);
    this.#read();
    if (isHere && !how.replace) this.repeats += 1;
    if (isElsewhere) {
      scrollTo(0, 0);
      this.arrivals += 1;
    }
  }

  /** Follows the browser's buttons and the links of all pages from now on. */
  start(): void {
    const moved = movedTo(this.path, this.query);
    if (moved !== null) this.go(moved, { replace: true });
    addEventListener('popstate', () => this.#read());
    addEventListener('click', (event) => this.#click(event));
  }

  #read(): void {
    this.visitedAt = Date.now();
    this.path = location.pathname;
    this.search = location.search;
    this.entry = (history.state as Entry | null) ?? {};
  }

  #click(event: MouseEvent): void {
    const isPlain = event.button === 0 && !event.defaultPrevented &&
      !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (!isPlain || !(event.target instanceof Element)) return;
    const link = linkOf(event.target);
    if (!link || link.target || link.origin !== location.origin || !isPagePath(link.pathname)) return;
    event.preventDefault();
    this.go(link.href);
  }
}

/** The link that was clicked: itself, or that of the table row that was clicked. */
function linkOf(target: Element): HTMLAnchorElement | null {
  const link = target.closest('a');
  if (link || target.closest('button, input, select, label, summary')) return link;
  // Somebody who marks text in a row wants to copy it.
  if (getSelection()?.isCollapsed === false) return null;
  return target.closest('tr')?.querySelector<HTMLAnchorElement>('a[data-row]') ?? null;
}

export const router = new Router();
