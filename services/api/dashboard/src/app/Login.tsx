/** The login page: name and password, and what is wrong with them. */
import { useState, type FormEvent } from "react";
import { explain } from "../api/http.ts";
import { login } from "../store/session.ts";

export function Login(): React.ReactNode {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<readonly [string, string] | null>(null);

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setProblem(null);
    try {
      await login(String(form.get("user")), String(form.get("password")));
    } catch (error) {
      setProblem(explain(error));
      setBusy(false);
    }
  }

  return (
    <main className="login">
      <form onSubmit={(event) => void submit(event)} aria-label="Log in">
        <h1>tickbus</h1>
        <label>
          User
          <input name="user" autoComplete="username" autoFocus required maxLength={64} />
        </label>
        <label>
          Password
          <input name="password" type="password" autoComplete="current-password" required maxLength={1024} />
        </label>
        <button type="submit" className="button button-primary" disabled={busy}>
          {busy ? "Logging in" : "Log in"}
        </button>
        <div className="login-problem" role="alert">
          {problem && (
            <>
              <p>{problem[0]}</p>
              <p>{problem[1]}</p>
            </>
          )}
        </div>
      </form>
    </main>
  );
}
