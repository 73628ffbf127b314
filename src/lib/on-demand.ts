/**
 * Parts of the program that most labs never use are loaded, or made, when they are first needed: the daemon starts sooner and is
 * smaller. `onDemand` is how; what is loaded is written down where it is used, as `import()` or `require()`.
 */

/** Calls `make` the first time it is asked, and answers the same ever after. What fails is tried again the next time. */
export function onDemand<T>(make: () => T): () => T {
  let made: { value: T } | null = null;
  return () => {
    if (made !== null) return made.value;
    const value = make();
    const mine = { value };
    made = mine;
    if (value instanceof Promise) {
      value.catch(() => {
        if (made === mine) made = null;
      });
    }
    return value;
  };
}
