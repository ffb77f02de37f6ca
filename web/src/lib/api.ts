// Asks the API. What can be asked is described as an address with the type of its answer, so that a
// view can compare two questions, and a cache can find an answer, by the address alone.

import type { Span } from './range';
import type {
  Backtrace, Choices, CountedBy, Counts, CrashFree, FramesChange, Group, GroupChange, GroupDetails,
  GroupMachines, MachineChecks, Machines, MergedGroup, Population, QuarantinePage, RecordDetails, RecordPage, Regroup, SkippedFrames,
  Submission,
} from './types';

export type Query = Record<string, string | number | boolean | null | undefined>;

/** A question, and by its type the answer. */
export interface Question<T> {
  readonly url: string;
  readonly answer?: T;
}

export class ApiError extends Error {
  /** What was thrown, when it may also be a fault of ours. */
  static of(failure: unknown): ApiError {
    return failure instanceof ApiError ? failure : new ApiError(0, 'broken', String(failure));
  }

  constructor(
    /** 0 when there was no answer at all. */
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export function address(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') search.set(name, String(value));
  }
  const text = search.toString();
  if (!text) return path;
  // Some pages are named by a part of the query.
  return `${path}${path.includes('?') ? '&' : '?'}${text}`;
}

export const question = <T>(path: string, query?: Query): Question<T> => ({
  url: address(path, query),
});

export const records = (query: Query) => question<RecordPage>('/v1/records', query);
export const record = (id: number) => question<RecordDetails>(`/v1/records/${id}`);
export const counts = (by: CountedBy, query: Query) =>
  question<Counts>('/v1/records/counts', { by, ...query });
export const machines = (query: Query) => question<Machines>('/v1/records/machines', query);
export const machineChecks = (query: Query) =>
  question<MachineChecks>('/v1/records/machine-checks', query);
export const population = (query: Query) => question<Population>('/v1/records/population', query);
export const crashFree = (query: Query) => question<CrashFree>('/v1/records/crash-free', query);
export const groups = (query: Query) => question<{ groups: Group[] }>('/v1/records/groups', query);
export const group = (id: number) => question<GroupDetails>(`/v1/records/groups/${id}`);
export const groupMachines = (id: number, query: Query) =>
  question<GroupMachines>(`/v1/records/groups/${id}/machines`, query);
export const backtraces = (id: number, query: Query) =>
  question<{ backtraces: Backtrace[] }>(`/v1/records/groups/${id}/backtraces`, query);
export const choices = (query: Query) => question<Choices>('/v1/records/choices', query);
/** What came within the span. */
export const quarantine = ({ since, until }: Span, query: Query) =>
  question<QuarantinePage>('/v1/records/quarantine', { from: since, to: until, ...query });
export const submission = (id: number) => question<Submission>(`/v1/records/quarantine/${id}`);
export const regroup = () => question<Regroup>('/v1/records/regroup');
export const skippedFrames = () => question<SkippedFrames>('/v1/records/skipped-frames');

export function ask<T>(asked: Question<T>, signal?: AbortSignal): Promise<T> {
  return send<T>(asked.url, { signal: signal ?? null });
}

export const changeGroup = (id: number, change: GroupChange) =>
  post<Group>(`/v1/records/groups/${id}`, change);
export const mergeGroup = (id: number, into: number) =>
  post<MergedGroup>(`/v1/records/groups/${id}/merge`, { into });
export const splitGroup = (id: number) => post<MergedGroup>(`/v1/records/groups/${id}/split`);
export const changeSkippedFrames = (change: FramesChange) =>
  post<SkippedFrames>('/v1/records/skipped-frames', change);
export const releaseSubmission = (id: number) =>
  post<{ record: number }>(`/v1/records/quarantine/${id}/release`);
export const removeSubmission = (id: number) =>
  send<{ removed: number }>(`/v1/records/quarantine/${id}`, { method: 'DELETE' });

function post<T>(url: string, given?: object): Promise<T> {
  if (given === undefined) return send<T>(url, { method: 'POST' });
  return sendJson<T>('POST', url, given);
}

export function sendJson<T>(method: string, url: string, given: object): Promise<T> {
  return send<T>(url, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(given),
  });
}

export async function send<T>(url: string, init: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, credentials: 'same-origin' });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError(0, 'unreachable', 'the server gave no answer');
  }
  if (response.status === 401) {
    signIn();
    // The page is being left: neither an answer nor a failure should be painted meanwhile.
    return new Promise<T>(() => {});
  }
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as T;
}

/** Leads to the sign-in page and from there back to where we are. */
export function signIn(): void {
  const here = location.pathname + location.search;
  location.assign(address('/login', { to: here }));
}

interface Refusal {
  error: string | { code: string; message: string };
  errorType?: string;
}

async function refusal(response: Response): Promise<ApiError> {
  try {
    const { error, errorType } = (await response.json()) as Refusal;
    // Answers in the shape of Prometheus have a text here.
    if (typeof error === 'string') return new ApiError(response.status, errorType ?? 'unknown', error);
    return new ApiError(response.status, error.code, error.message);
  } catch {
    // A proxy in front of us answers in its own words.
    return new ApiError(response.status, 'unknown', `the server answered ${response.status}`);
  }
}
