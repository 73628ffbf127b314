/** Which file it is, whatever it is called: for two paths that may be one file, and one path that may be another by now. */

/** Device and inode as text. */
export function identityOf({ dev, ino }: { dev: number; ino: number }): string {
  return `${dev}:${ino}`;
}
