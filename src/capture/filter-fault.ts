/**
 * Where in a wrong capture filter the fault is. libpcap does not tell, so it is asked about beginnings of the expression, by
 * bisection: a dozen runs of tcpdump at most.
 *
 *   syntax     A beginning is right when something could follow it. To find that out it is followed by a word that libpcap
 *              complains of as soon as it reads it (PROBE): when that is the complaint, everything in front was understood;
 *              the first word with which the complaint is another is the one that cannot stand there.
 *   meaning    (`port 99999`, `unknown host`) The word that the complaint quotes; else the shortest beginning with the same
 *              complaint ends with it.
 */
import type { TcpdumpRun } from './tcpdump.js';

export interface Word {
  text: string;
  /** Place of its first character, from 0. */
  at: number;
}

/** An IPv6 address for the scanner of libpcap, which looks at its digits at once: `bogus IPv6 address ...`. */
const PROBE = 'ffff::999.999.999.999';
const SYNTAX = 'syntax error';
/** Said of the whole expression, not of a word. */
const OF_THE_WHOLE = /^expression rejects/;
/** Two-character operators, brackets and other operators, and everything else up to the next of those. */
const WORD = /&&|\|\||[<>!=]=|<<|>>|[()[\]!<>=&|^%+*]|[^\s()[\]!<>=&|^%+*]+/g;

/** What is wrong with `expression` and where, in words. `run` may answer late or not at all: then without the place. */
export async function describeFault(
  expression: string,
  complaint: string,
  run: (expression: string) => Promise<TcpdumpRun>,
): Promise<string> {
  const words = [...expression.matchAll(WORD)].map((match) => ({ text: match[0], at: match.index }));
  if (OF_THE_WHOLE.test(complaint)) return complaint;
  const complaintOf = async (beginning: string) => {
    const answer = await run(beginning);
    if (answer.kind === 'late' || answer.kind === 'absent') throw new Error('tcpdump does not answer');
    return answer.kind === 'complained' ? answer.complaint : '';
  };
  const upTo = ({ at, text }: Word) => expression.slice(0, at + text.length);
  const isSyntax = complaint === SYNTAX;
  const isFaulty = async (word: Word) => {
    if (isSyntax) return !(await complaintOf(`${upTo(word)} ${PROBE}`)).includes(PROBE);
    return (await complaintOf(upTo(word))) === complaint;
  };
  try {
    // A libpcap that has another word for it cannot be asked.
    if (isSyntax && !(await complaintOf(PROBE)).includes(PROBE)) return complaint;
    const quoted = isSyntax ? undefined : onlyQuoted(words, complaint);
    const word = quoted ?? (await firstFaulty(words, isFaulty));
    if (word !== null) return `${complaint} at column ${word.at + 1}, "${shown(expression.slice(word.at))}"`;
    // Everything was understood, and then it ended.
    return isSyntax ? `${complaint} at column ${expression.length + 1}, where it ends` : complaint;
  } catch {
    return complaint;
  }
}

/** The word that the complaint names, if it stands in the expression once. */
function onlyQuoted(words: readonly Word[], complaint: string): Word | undefined {
  const said = new Set(complaint.split(/[\s'"]+/));
  const named = words.filter(({ text }) => said.has(text) && !/^[a-z]{1,5}$/.test(text));
  return named.length === 1 ? named[0] : undefined;
}

/** null when there is none. Whatever stands behind a faulty word is faulty too. */
async function firstFaulty(words: readonly Word[], isFaulty: (word: Word) => Promise<boolean>): Promise<Word | null> {
  let right = 0;
  let wrong = words.length;
  while (right < wrong) {
    const middle = (right + wrong) >> 1;
    if (await isFaulty(words[middle]!)) wrong = middle;
    else right = middle + 1;
  }
  return words[wrong] ?? null;
}

const SHOWN_LENGTH = 24;

function shown(rest: string): string {
  return rest.length > SHOWN_LENGTH ? `${rest.slice(0, SHOWN_LENGTH)}...` : rest;
}
