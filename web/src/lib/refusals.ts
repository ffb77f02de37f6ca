// Why uploads are refused, by S3's words for it, and what an operator can do.

const REMEDIES: Record<string, string> = {
  InsufficientStorage:
    'A quota is reached, or the disk is nearly full: remove runs that are not needed, shorten the ' +
    'retention, or raise the quota of the group or of the collector. The next attempt then succeeds.',
  SlowDown:
    'Too many uploads go on at once. They succeed when others are done; a client with fewer threads helps.',
  AccessDenied:
    'The link is over, or the user may not upload to this group: look at the rights of the user, and at ' +
    'link_expiration and the clock of the client.',
  SignatureDoesNotMatch: 'The link or the password is not right: look at the configuration of the client.',
  BadDigest: 'The bytes change on their way: look at what is between the client and this collector.',
};

export const remedyFor = (reason: string): string =>
  REMEDIES[reason] ?? `Refused with ${reason}: the log of the collector says more.`;
