// Addresses of the pages. What all views share – the range and the project – goes along.

import { address, type Query } from './api';
import type { BacktraceFilters } from './group-machines';
import type { Filters } from './filters';
import { BASE } from './routes';

const SHARED = ['range', 'since', 'until', 'project'] as const;

/** The shared part of an address, to be kept on the way to another view. */
export function shared(query: URLSearchParams): Query {
  return Object.fromEntries(SHARED.map((name) => [name, query.get(name)]));
}

export const pageLink = (page: string, query: Query = {}): string =>
  address(page === '' ? `${BASE}/` : `${BASE}/${page}`, query);
export const recordsLink = (filters: Filters, query: Query = {}): string =>
  pageLink('records', { ...filters, ...query });
export const recordLink = (id: number): string => pageLink(`records/record_details/${id}`);
export const groupLink = (id: number): string => pageLink(`crashes/guilty_details/${id}`);
export const backtracesLink = (id: number, filters: BacktraceFilters = {}): string =>
  pageLink(`crashes/guilty_details/${id}/backtraces`, { ...filters });
/** The view of a class of records. */
export const classLink = (classification: string, query: Query = {}): string =>
  pageLink('class', { classification, ...query });
export const crashesLink = (build: string | null, query: Query = {}): string =>
  pageLink(build === null ? 'crashes' : `crashes/${encodeURIComponent(build)}`, query);
