// What a viewer may do to a symbol, and what is said of it where it did not go as asked.
import { client, sentence } from '../api/client'
import { AddSymbolDocument, type AddSymbolInput, RefreshSymbolDocument, RemoveSymbolDocument } from '../gql'
import { Store, useStore } from '../kit/store'
import { tell } from '../kit/toasts'
import { type Card, symbolFeed } from './feed'

/** Of one symbol; `again` does what was asked with the symbol as it is now. */
export type Trouble = { text: string; again?: { label: string; run: () => void } }

const troubles = new Store<ReadonlyMap<string, Trouble>>(new Map())

export const useTrouble = (ticker: string) => useStore(troubles).get(ticker)

export const forget = (ticker: string) => troubles.set(new Map([...troubles.get()].filter(([other]) => other !== ticker)))

const note = (ticker: string, trouble: Trouble) => troubles.set(new Map(troubles.get()).set(ticker, trouble))

/** `Already refreshing since 14:02:11, started by the schedule.` */
export function alreadyRefreshing({ startedAt, startedBy }: NonNullable<Card['refresh']>): string {
  const since = new Date(startedAt).toLocaleTimeString()
  return `Already refreshing since ${since}${startedBy ? `, started by ${startedBy}` : ''}.`
}

export async function refresh({ ticker }: Card) {
  forget(ticker)
  const { data, error } = await client.mutation(RefreshSymbolDocument, { input: { ticker } })
  const answer = data?.refreshSymbol
  if (!answer) return note(ticker, { text: sentence(error!) })
  switch (answer.__typename) {
    case 'SymbolRefreshed':
      symbolFeed.learn(answer.symbol)
      return tell(`${ticker} is refreshed: ${answer.barsChanged} bars changed, ${answer.levelsExtracted} levels.`)
    case 'AlreadyRefreshing':
      return note(ticker, { text: alreadyRefreshing(answer.refresh) })
    default:
      return note(ticker, { text: answer.message })
  }
}

export async function remove({ ticker, version }: Pick<Card, 'ticker' | 'version'>) {
  forget(ticker)
  const { data, error } = await client.mutation(RemoveSymbolDocument, { input: { ticker, expectedVersion: version } })
  const answer = data?.removeSymbol
  if (!answer) return note(ticker, { text: sentence(error!) })
  switch (answer.__typename) {
    case 'SymbolRemoved': {
      const removed = answer.symbol.version
      symbolFeed.learn(answer.symbol)
      const undo = () => void add({ ticker, expectedVersion: removed }).then((refusal) => refusal && tell(refusal.text))
      return tell(`${ticker} is no longer tracked. Its history is kept.`, { label: 'Undo', run: undo })
    }
    case 'VersionConflict': {
      const { currentVersion } = answer
      const again = () => void remove({ ticker, version: currentVersion })
      return note(ticker, {
        text: `${ticker} was changed meanwhile: you saw version ${version}, it is at ${currentVersion} now. Nothing was removed.`,
        again: { label: 'Remove it as it is now', run: again },
      })
    }
    default:
      return note(ticker, { text: answer.message })
  }
}

/** Why a symbol was not added; what else may be meant; the version that one of earlier is revived at. */
export type NotAdded = { text: string; suggestions?: readonly string[]; version?: number }

/** Null when it was added. */
export async function add(input: AddSymbolInput): Promise<NotAdded | null> {
  const { data, error } = await client.mutation(AddSymbolDocument, { input })
  const answer = data?.addSymbol
  if (!answer) return { text: sentence(error!) }
  switch (answer.__typename) {
    case 'SymbolAdded':
      symbolFeed.learn(answer.symbol)
      tell(`${answer.symbol.ticker} is tracked${answer.job ? '; its history is being loaded' : ''}.`)
      return null
    case 'InvalidTicker':
      return { text: answer.message, suggestions: answer.suggestions }
    case 'VersionConflict':
      return { text: `${input.ticker} was tracked before, and its history is kept.`, version: answer.currentVersion }
    default:
      return { text: answer.message }
  }
}
