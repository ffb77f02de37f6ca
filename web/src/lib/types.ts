// The shapes of docs/api/openapi.yaml, by hand. Times are RFC 3339 in UTC.

export type Severity = 1 | 2 | 3 | 4;
export type GroupState = 'new' | 'open' | 'resolved' | 'regressed';
export type CountedBy =
  | 'classification'
  | 'severity'
  | 'build'
  | 'system_name'
  | 'source'
  | 'host_type';

export interface RecordSummary {
  id: number;
  project: string;
  received_at: string;
  /** By the client's clock; null when that is beyond the year 9999. */
  created_at: string | null;
  severity: Severity;
  classification: string;
  machine_id: string;
  build: string;
  system_name: string;
  external: boolean;
  group?: number | null;
  excerpt: string;
}

export interface RecordDetails extends RecordSummary {
  payload: string;
  event_id: string;
  arch: string;
  kernel_version: string;
  host_type: string;
  board_name: string;
  cpu_model: string;
  bios_version: string;
  record_format_version: number;
  payload_format_version: number;
  why_grouped?: WhyGrouped | null;
}

export interface RecordPage {
  records: RecordSummary[];
  /** `before` of the next page. */
  next: number | null;
  /** The time was over before the page was full: `next` is where the search goes on. */
  is_partial?: boolean;
}

/** A frame as payloads write it. */
export interface Frame {
  function: string;
  module: string;
}

export interface GroupedFrame extends Frame {
  normalised: string;
  is_used: boolean;
  is_guilty: boolean;
  why: string;
}

export interface WhyGrouped {
  version: number;
  key: string;
  signal?: string | null;
  frames: GroupedFrame[];
}

/** How far records are grouped anew; `reached` and `end` are ids. */
export interface Regroup {
  is_running: boolean;
  reached: number;
  end: number;
  moved: number;
}

export interface SkippedFrames {
  frames: Frame[];
  regroup: Regroup;
}

export interface FramesChange {
  add?: Frame[];
  remove?: Frame[];
}

export interface Counts {
  by: string;
  days: { day: string; counts: Record<string, number> }[];
}

/** What was looked at for an answer that is not counted at intake. */
export interface Looked {
  looked_at: number;
  /** Whether older records fit, too. */
  has_more: boolean;
  since: string | null;
}

export interface Machine {
  machine_id: string;
  records: number;
  builds: Record<string, number>;
}

export interface Machines extends Looked {
  /** Distinct machines, also those that are not shown. */
  count: number;
  machines: Machine[];
}

export interface MachineChecks extends Looked {
  codes: Record<string, number>;
  without_code: number;
}

export interface BuildPopulation {
  build: string;
  internal: number;
  external: number;
}

export interface Population {
  /** `days` 0 is everything. */
  windows: { days: number; builds: BuildPopulation[] }[];
}

export interface BuildCrashFree {
  build: string;
  /** Machines with a heartbeat or a crash in the window, and those of them that crashed. */
  machines: number;
  crashed: number;
  crash_free: number;
}

export interface CrashFree {
  days: number;
  builds: BuildCrashFree[];
}

export interface Group {
  id: number;
  project: string;
  function: string;
  module: string;
  classification: string;
  first_seen: string;
  last_seen: string;
  first_build: string;
  last_build: string;
  /** Records ever; `count`, `machines` and `builds` are about the window. */
  total: number;
  count: number;
  machines: number;
  builds: Record<string, number>;
  state: GroupState;
  /** The build that had it again after it was resolved; empty when that is not known. */
  regressed_in?: string | null;
  is_hidden: boolean;
  comment: string;
}

export interface GroupDetails extends Group {
  days: { day: string; count: number }[];
  latest: RecordSummary[];
  /** Groups that are a part of this one. */
  merged: GroupName[];
  why_grouped?: WhyGrouped | null;
}

/** Records of a group that one machine sent with one build. */
export interface MachineBuild {
  machine_id: string;
  build: string;
  records: number;
  last_seen: string | null;
  /** The latest of these records. */
  latest: number;
}

export interface GroupMachines {
  /** Those with most records first. */
  machines: MachineBuild[];
  /** How many of the newest records of the group were counted. */
  counted: number;
  /** Whether these are all that it has. */
  is_complete: boolean;
}

export interface BacktraceFrame extends Frame {
  is_guilty: boolean;
  /** Whether the frame counts for the group. */
  is_used: boolean;
}

/** What the payload of a crash says; null where it says nothing. */
export interface Backtrace {
  id: number;
  received_at: string | null;
  machine_id: string;
  build: string;
  program: string | null;
  pid: number | null;
  signal: string | null;
  frames: BacktraceFrame[] | null;
}

export interface GroupName extends Frame {
  id: number;
}

export interface MergedGroup {
  id: number;
  merged_into: number | null;
}

export interface GroupChange {
  comment?: string;
  is_hidden?: boolean;
  state?: 'open' | 'resolved';
}

export interface Choices {
  projects: string[];
  classifications: string[];
  builds: { system_name: string; build: string }[];
  system_names: string[];
}

export interface Submission {
  id: number;
  project: string;
  received_at: string;
  reason: string;
  message: string;
  fields: Record<string, string>;
  /** In a list only the beginning. */
  payload: string;
  payload_bytes: number;
}

export interface QuarantinePage {
  submissions: Submission[];
  next: number | null;
}
