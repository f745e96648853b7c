import 'react';

declare module 'react' {
  interface CSSProperties {
    /** The length of a bar in the ranking, 0 to 1. */
    '--score'?: number;
  }
}
