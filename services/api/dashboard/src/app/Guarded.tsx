/** The place of one panel: a panel that fails says so in its place and takes no other with it. */
import { Component, type ReactNode } from "react";

interface Props {
  readonly area: string;
  readonly children: ReactNode;
}

export class Guarded extends Component<Props, { failure: string }> {
  override state = { failure: "" };

  static getDerivedStateFromError(error: unknown): { failure: string } {
    return { failure: error instanceof Error ? error.message : String(error) };
  }

  override render(): ReactNode {
    const { area, children } = this.props;
    const { failure } = this.state;
    return (
      <div className="place" data-area={area}>
        {failure === "" ? (
          children
        ) : (
          <section className="panel panel-failed" role="alert">
            <p>This panel failed: {failure}</p>
            <button type="button" className="button" onClick={() => this.setState({ failure: "" })}>
              Try again
            </button>
          </section>
        )}
      </div>
    );
  }
}
