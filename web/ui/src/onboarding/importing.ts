// The import that is under way in this window, step by step. It outlives the page: whoever looks at something else meanwhile
// finds it again.
import { client, sentence } from '../api/client'
import { ImportPortfolioDocument, type ImportPortfolioInput, type ImportPortfolioMutation } from '../gql'
import { Store, useStore } from '../kit/store'
import { onboardingFeed } from './feed'
import { read, tooLarge } from './file'
import type { Checked, Mistake } from './lines'

type Answer = ImportPortfolioMutation['importPortfolio']

export type Importing = {
  name: string
  /** Chosen by the viewer, not taken from the file. */
  isNamed: boolean
  text: string
  isBusy: 'checking' | 'importing' | null
  /** Why there is nothing to check, or why it was not checked. */
  unread: string | null
  /** What the service has read in that text; an edited one is to be checked again. */
  checked: (Pick<Checked, 'rows' | 'errors' | 'knownTickers' | 'unknownTickers'> & { text: string }) | null
  refusal: Refusal | null
  done: Done | null
}

/** Why nothing was imported; `version` is that of the portfolio which has the name already. */
export type Refusal = { text: string; version?: number }

export type Done = { id: string; name: string; pendingTickers: readonly string[]; rejected: readonly Mistake[]; text: string }

const LONG = 10_000
const NOTHING: Importing = {
  name: '',
  isNamed: false,
  text: '',
  isBusy: null,
  unread: null,
  checked: null,
  refusal: null,
  done: null,
}

const importing = new Store<Importing>(NOTHING)

export const useImporting = () => useStore(importing)

const set = (news: Partial<Importing>) => importing.set({ ...importing.get(), ...news })

export const rename = (name: string) => set({ name, isNamed: name !== '', refusal: null })

export const edit = (text: string) => set({ text, unread: null })

/** Of a long text, which the browser would take minutes to type in: whether it is taken care of here. */
export function paste(pasted: string, into: HTMLTextAreaElement): boolean {
  if (pasted.length < LONG) return false
  const unread = tooLarge('This text', pasted.length)
  if (unread) {
    set({ unread })
    return true
  }
  into.setRangeText(pasted, into.selectionStart, into.selectionEnd, 'end')
  edit(into.value)
  return true
}

export const startOver = () => importing.set(NOTHING)

export async function take(files: readonly File[]) {
  const [file] = files
  if (!file) return
  if (files.length > 1) return set({ unread: 'One file at a time: each becomes a portfolio of its own.' })
  const found = await read(file)
  if ('refusal' in found) return set({ unread: found.refusal })
  const { name, isNamed } = importing.get()
  set({ text: found.text, name: isNamed ? name : found.name, unread: null, refusal: null, checked: null, done: null })
  await check()
}

/** Asks what the service reads in the text; nothing is written. */
export async function check() {
  const { name, text, isBusy } = importing.get()
  if (isBusy) return
  set({ isBusy: 'checking', unread: null, refusal: null, done: null })
  const { answer, refusal } = await ask({ name, csv: text, dryRun: true })
  set({ isBusy: null })
  if (answer?.__typename === 'PortfolioChecked') set({ checked: { ...answer, text } })
  else set({ unread: refusal, checked: null })
}

/** What was checked, and nothing else. */
export async function bring(how: Pick<ImportPortfolioInput, 'acceptValidRows' | 'expectedVersion'>) {
  const { name, checked, isBusy } = importing.get()
  if (!checked || isBusy) return
  set({ isBusy: 'importing', refusal: null })
  const { answer, refusal } = await ask({ name, csv: checked.text, ...how })
  set({ isBusy: null })
  switch (answer?.__typename) {
    case 'PortfolioImported': {
      const { portfolio, pendingTickers, jobs, rejected } = answer
      onboardingFeed.learn(...jobs)
      return importing.set({ ...NOTHING, done: { ...portfolio, pendingTickers, rejected, text: checked.text } })
    }
    case 'InvalidPortfolio':
      return set({ checked: { ...checked, errors: answer.errors }, refusal: { text: answer.message } })
    case 'VersionConflict':
      return set({ refusal: { text: answer.message, version: answer.currentVersion } })
    default:
      return set({ refusal: { text: refusal } })
  }
}

async function ask(input: ImportPortfolioInput): Promise<{ answer?: Answer; refusal: string }> {
  const { data, error } = await client.mutation(ImportPortfolioDocument, { input })
  if (!data) return { refusal: sentence(error!) }
  const answer = data.importPortfolio
  return { answer, refusal: 'message' in answer ? answer.message : '' }
}
