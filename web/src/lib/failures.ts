// Failures in words: what failed and why, and what the reader can do.

import type { ApiError } from './api';

export function reasonFor(what: string, error: ApiError): string {
  const failed = `Could not ${what}`;
  if (error.status === 403) return `${failed}: no role of yours allows this.`;
  if (error.status === 404) return `${failed}: it is not there.`;
  return `${failed}: ${error.message}.`;
}

export function adviceFor(error: ApiError): string {
  switch (error.status) {
    case 0:
      return 'Check that you are online and that Landline is running, then try again.';
    case 400:
      return 'The server does not accept what was asked for. Change what was filled in or chosen.';
    case 403:
      return 'Ask whoever administers Landline for a role that includes it.';
    case 404:
      return 'It may have been removed when its time was over.';
    case 409:
      return 'Nothing was changed. Something else has to change before this is possible.';
    case 507:
      return 'Remove runs that are not needed any more, or raise the quota.';
    case 503:
      return 'The server is busy or its store is away. Wait a moment, then try again.';
    default:
      return 'Try again. If it goes on failing, the reason is in the log of the server.';
  }
}
