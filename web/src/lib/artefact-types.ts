// The shapes of `/v1/artefacts` in docs/api/openapi.yaml, by hand. Times are RFC 3339 in UTC, sizes
// bytes, durations seconds.

export type Act = 'read' | 'create' | 'update' | 'delete';
export type RunState = 'open' | 'telemetry_received' | 'closed';
export type RunStatus = 'passed' | 'failed';
/** Where a list goes on; nothing at its end. */
export type Cursor = string | number | null | undefined;

export interface RunGroup {
  name: string;
  runs: number;
  files: number;
  bytes: number;
  changed_at: string | null;
  pinned: boolean;
  /** What holds: seconds, or null for ever. */
  retention: number | null;
  /** What holds: bytes, or null for none. */
  quota: number | null;
  /** What was set for this group; null is what the configuration says. */
  settings: GroupSettings;
  may: Act[];
}

export interface GroupSettings {
  retention: string | null;
  quota: string | null;
}

export interface RunGroupChange extends Partial<GroupSettings> {
  pinned?: boolean;
}

export interface RunGroupPage {
  groups: RunGroup[];
  next?: Cursor;
  total: { bytes: number; quota: number | null };
  /** Of the disk, when there is one. */
  free: number | null;
}

export type Fields = Record<string, string[]>;

export interface Run {
  id: string | number;
  group: string;
  run: string;
  state: RunState;
  created_at: string;
  changed_at: string;
  files: number;
  bytes: number;
  pinned: boolean;
  expires_at: string | null;
  fields: Fields;
  may: Act[];
}

export interface RunDetails extends Run {
  has_telemetry: boolean;
}

export interface RunPage {
  runs: Run[];
  next?: Cursor;
}

export interface RunFile {
  name: string;
  bytes: number;
  changed_at: string;
  versions: number;
  content_type: string;
  etag: string;
  sha256: string | null;
  /** The joined file that it is a part of. */
  part_of: string | null;
}

export interface JoinedFile {
  name: string;
  parts: number;
  bytes: number;
}

export interface FilePage {
  files: RunFile[];
  folders: string[];
  joined: JoinedFile[];
  next?: Cursor;
}

export interface FileVersion {
  id: string | number;
  bytes: number;
  created_at: string;
  created_by: string;
  content_type: string;
  etag: string;
  sha256: string | null;
  is_current: boolean;
}

export interface Member {
  name: string;
  type: 'file' | 'folder' | 'link' | 'other';
  bytes: number;
  changed_at: string | null;
  /** Where it begins in the unpacked archive: it is found at once by that. */
  at: number;
}

export interface ArchiveWindow {
  kind: 'archive';
  format: string;
  members: Member[];
  next?: number | null;
  /** Why there is nothing behind these members although the archive has not ended. */
  problem?: string | null;
}

export interface TextWindow {
  kind: 'text';
  media: 'json' | 'text';
  is_packed: boolean;
  offset: number;
  text: string;
  next?: number | null;
  /** Unknown while it is unpacked. */
  total?: number | null;
}

export type Looked =
  | ArchiveWindow
  | TextWindow
  | { kind: 'image'; media_type: string; bytes: number }
  | { kind: 'binary'; bytes: number; start: string };

export interface ComparedField {
  name: string;
  left: string[];
  right: string[];
  is_same: boolean;
}

export type FileChange = 'same' | 'changed' | 'left_only' | 'right_only';

export interface ComparedFile {
  name: string;
  left: ComparedSide | null;
  right: ComparedSide | null;
  change: FileChange;
}

export interface ComparedSide {
  bytes: number;
  sha256: string | null;
}

export interface Comparison {
  left: Run;
  right: Run;
  fields: ComparedField[];
  files: ComparedFile[];
  next?: Cursor;
}

export interface ScenarioRecovery {
  scenario: string;
  status: RunStatus | null;
  /** What was hit, pods and virtual machines; `unrecovered` are among them. */
  pods: number;
  unrecovered: number;
  /** The longest, in seconds. */
  recovery: number | null;
  readiness: number | null;
  rescheduling: number | null;
}

export interface RunRecovery {
  id: string | number;
  run: string;
  at: string;
  status: RunStatus | null;
  scenarios: ScenarioRecovery[];
}

export interface Recovery {
  runs: RunRecovery[];
  /** All names that there are, also of scenarios that are not asked for. */
  scenarios: string[];
  next?: Cursor;
}

export interface RefusedClient {
  address: string | null;
  user: string | null;
  key: string;
  status: number;
  reason: string;
  attempts: number;
  first_at: string;
  last_at: string;
  is_retrying: boolean;
}
