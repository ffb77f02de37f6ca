// What the API says of a query, in words for people and as marks in the expression.

import type { ApiError } from './api';
import { messageWords, placeIn } from './explore';
import type { Answer, Result } from './prometheus';
import type { Problem } from './promql-editor';

/** Whether it is the query that is refused, and not something around it. */
export const isOfQuery = ({ code }: ApiError): boolean =>
  ['bad_data', 'execution', 'timeout', 'canceled'].includes(code);

/** There is no such API: a program without the role, or a proxy that leads elsewhere. */
export const isWithoutMetrics = (error: ApiError): boolean => error.status === 404;

/** What is wrong and how it can be mended, when that is clear. */
export function queryProblem({ code, message }: ApiError): string {
  const words = messageWords(message);
  if (code === 'timeout') return `It took too long: ${words}. Take a shorter range, a longer step, or fewer series.`;
  if (/maximum resolution/.test(message)) return `These are too many points: ${words}`;
  if (/too many samples/.test(message)) return `It touches too many samples: ${words}. Take a shorter range or fewer series.`;
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
}

/** Marks for what is wrong, may be wrong, or is worth knowing, where a place is named. */
export function problemsOf(
  expression: string, error: ApiError | undefined, answer: Answer<Result> | undefined,
): Problem[] {
  const all: [string, Problem['severity']][] = [
    ...(error && isOfQuery(error) ? [[error.message, 'error'] as [string, 'error']] : []),
    ...(answer?.warnings ?? []).map((message): [string, 'warning'] => [message, 'warning']),
    ...(answer?.infos ?? []).map((message): [string, 'info'] => [message, 'info']),
  ];
  return all.flatMap(([message, severity]) => {
    const at = placeIn(expression, message);
    return at === null ? [] : [{ message: noteWords(message), severity, at }];
  });
}

/** A note without the word for its kind, which stands beside it, and without its place, which is marked. */
export const noteWords = (message: string): string =>
  messageWords(message).replace(/^PromQL (info|warning): /, '').replace(/ \(\d+:\d+\)$/, '');
