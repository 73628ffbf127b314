/**
 * From the state files of older versions to the present form, one step per version. A step is pure: it takes the parsed
 * document of its version and gives that of the next; what an object must look like is checked afterwards, as always.
 *
 *   1 -> 2   `eventsReserved`: up to this number event numbers may have been used. Version 1 counted its events from 1 in
 *            every run and wrote nothing down, so numbers go on where no run can have got to.
 *   2 -> 3   Networks of type nat, published ports, aliases. What older objects do not say of them is what the readers of
 *            requests put there; the number keeps an older weft from leaving out what it does not know.
 *   3 -> 4   Networks of type overlay, endpoints behind other VTEPs, addresses of host vNICs: likewise.
 */
export type StateDocument = Record<string, unknown>;

export const STATE_VERSION = 4;

const EVENTS_OF_VERSION_1 = 1_000_000;

/** Step n-1 makes version n+1 of version n. */
const STEPS: readonly ((document: StateDocument) => StateDocument)[] = [
  (document) => ({ ...document, weft: 2, eventsReserved: EVENTS_OF_VERSION_1 }),
  (document) => ({ ...document, weft: 3 }),
  (document) => ({ ...document, weft: 4 }),
];

/** The document in the present form. `document.weft` must be an integer of 1 to STATE_VERSION. */
export function migrate(document: StateDocument): StateDocument {
  return STEPS.slice((document.weft as number) - 1).reduce((form, step) => step(form), document);
}
