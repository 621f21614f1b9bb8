/** Requests to the gateway: bounded in time, with its problems as errors that say what to do. */
import type { Problem } from "./types.ts";

export const API = "/api/v1";
const TIMEOUT_MS = 10_000;
const REFRESH = `${API}/auth/refresh`;

/** What the gateway refused, in its own words. */
export class ApiError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.name = "ApiError";
    this.problem = problem;
  }

  get code(): string {
    return this.problem.code;
  }

  get status(): number {
    return this.problem.status;
  }

  get remedy(): string {
    return this.problem.remedy ?? "";
  }
}

export type Query = Readonly<Record<string, string | number | boolean | null | undefined>>;

interface Options {
  readonly query?: Query;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

let onSignedOut: () => void = () => undefined;

/** Have `listener` called when the gateway no longer knows us. */
export function whenSignedOut(listener: () => void): void {
  onSignedOut = listener;
}

export const get = <T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> =>
  request<T>("GET", path, { ...(query ? { query } : {}), ...(signal ? { signal } : {}) });
export const post = <T>(path: string, body?: unknown, options: Options = {}): Promise<T> =>
  request<T>("POST", path, { ...options, body });
export const put = <T>(path: string, body?: unknown): Promise<T> => request<T>("PUT", path, { body });
export const patch = <T>(path: string, body?: unknown): Promise<T> => request<T>("PATCH", path, { body });
export const remove = <T>(path: string, query?: Query): Promise<T> =>
  request<T>("DELETE", path, query ? { query } : {});

/** Ask the gateway for `path` (below /api/v1, or absolute) and read its JSON. Throws ApiError. */
export async function request<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const first = await send(method, path, options);
  if (first.status !== 401 || path.startsWith("/auth/login")) return read<T>(first);
  // The session of a quarter of an hour is over; the refresh cookie makes the next one.
  const renewal = await refresh();
  if (renewal === "renewed") return read<T>(await send(method, path, options));
  if (renewal === "away") throw new ApiError(notRenewed());
  onSignedOut();
  return read<T>(first);
}

/** The address of `path` with `query`, for links and downloads. */
export function address(path: string, query?: Query): string {
  const whole = path.startsWith("/health") || path.startsWith(API) ? path : API + path;
  const given = Object.entries(query ?? {}).filter(([, v]) => v !== null && v !== undefined && v !== "");
  if (given.length === 0) return whole;
  return `${whole}?${new URLSearchParams(given.map(([k, v]) => [k, String(v)]))}`;
}

/** What came of renewing a session; "away": nobody could say whether it is still good. */
export type Renewal = "renewed" | "over" | "away";

/** Renew the session in force. One at a time. */
export function refresh(): Promise<Renewal> {
  refreshing ??= fetch(REFRESH, { method: "POST", credentials: "same-origin", signal: AbortSignal.timeout(TIMEOUT_MS) })
    .then((answer): Renewal => (answer.ok ? "renewed" : answer.status === 401 || answer.status === 403 ? "over" : "away"))
    .catch((): Renewal => "away")
    .finally(() => {
      refreshing = null;
    });
  return refreshing;
}

let refreshing: Promise<Renewal> | null = null;

async function send(method: string, path: string, options: Options): Promise<Response> {
  const timeout = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  const headers: Record<string, string> = { Accept: "application/json", ...options.headers };
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  try {
    return await fetch(address(path, options.query), {
      method,
      headers,
      signal,
      credentials: "same-origin",
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(unreachable(timeout.aborted));
  }
}

async function read<T>(answer: Response): Promise<T> {
  const text = await answer.text();
  let body: unknown = null;
  try {
    body = text === "" ? null : JSON.parse(text);
  } catch {
    body = null;
  }
  if (answer.ok) return body as T;
  throw new ApiError(isProblem(body) ? body : unknownProblem(answer));
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "code" in body && "detail" in body;
}

function unknownProblem(answer: Response): Problem {
  return {
    type: "about:blank",
    title: answer.statusText,
    status: answer.status,
    code: "UNINTELLIGIBLE",
    detail: `the gateway answered ${answer.status} ${answer.statusText}`,
    remedy: "see the log of the gateway",
  };
}

function unreachable(late: boolean): Problem {
  return {
    type: "about:blank",
    title: "unreachable",
    status: 0,
    code: late ? "TIMEOUT" : "UNREACHABLE",
    detail: late ? "the gateway did not answer in time" : "the gateway cannot be reached",
    remedy: "what was asked may or may not have been done: look before repeating it",
  };
}

function notRenewed(): Problem {
  return {
    type: "about:blank",
    title: "away",
    status: 503,
    code: "LOGIN_NOT_RENEWED",
    detail: "the login could not be renewed: the gateway does not answer, or its bus is away",
    remedy: "nothing was done; it is tried again at the next request",
  };
}

/** `error` as text and remedy, for a notice. */
export function explain(error: unknown): [text: string, remedy: string] {
  if (error instanceof ApiError) return [error.message, error.remedy];
  return [error instanceof Error ? error.message : String(error), ""];
}
