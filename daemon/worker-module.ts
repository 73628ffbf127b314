/** Where the program of the datapath worker is. */
export const DATAPATH_WORKER = new URL('./datapath-worker.js', import.meta.url);
