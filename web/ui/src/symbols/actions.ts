// What a viewer may do to a symbol, and what is said of it where it did not go as asked.
import { client, sentence } from '../api/client'
import { AddSymbolDocument, type AddSymbolInput, RefreshSymbolDocument, RemoveSymbolDocument, SymbolNowDocument } from '../gql'
import { many } from '../kit/figures'
import { Store, useStore } from '../kit/store'
import { tell } from '../kit/toasts'
import { type Card, type Change, symbolFeed } from './feed'

/** Of one symbol; `again` does what was asked with the symbol as it is now, and after an event of `until` it is so no more. */
export type Trouble = { text: string; again?: { label: string; run: () => void }; until?: readonly Change['kind'][] }

/** For how long the event of what was done here may follow its answer. */
const ECHO_MS = 3_000

const troubles = new Store<ReadonlyMap<string, Trouble>>(new Map())

export const useTrouble = (ticker: string) => useStore(troubles).get(ticker)

export const forget = (ticker: string) => troubles.set(new Map([...troubles.get()].filter(([other]) => other !== ticker)))

const note = (ticker: string, trouble: Trouble) => troubles.set(new Map(troubles.get()).set(ticker, trouble))

symbolFeed.watch(({ kind, symbol: { ticker } }) => {
  if (troubles.get().get(ticker)?.until?.includes(kind)) forget(ticker)
})

const doing = new Map<string, number>()

/** Whether what happens to it is done by this viewer, who is told of it by the answer. */
export const isOwn = (ticker: string) => doing.has(ticker)

async function own<Answer>(ticker: string, ask: PromiseLike<Answer>): Promise<Answer> {
  const count = (step: number) => doing.set(ticker, (doing.get(ticker) ?? 0) + step)
  count(1)
  const answer = await ask
  setTimeout(() => count(-1).get(ticker) || doing.delete(ticker), ECHO_MS)
  return answer
}

const STARTERS: Record<string, string> = { api: 'by hand', cli: 'from the command line', schedule: 'by the schedule' }

/** `Already refreshing since 14:02:11, started by the schedule.` */
export function alreadyRefreshing({ startedAt, startedBy }: NonNullable<Card['refresh']>): string {
  const since = new Date(startedAt).toLocaleTimeString()
  return `Already refreshing since ${since}${startedBy ? `, started ${STARTERS[startedBy] ?? `by its ${startedBy}`}` : ''}.`
}

export async function refresh({ ticker }: Card) {
  forget(ticker)
  const { data, error } = await own(ticker, client.mutation(RefreshSymbolDocument, { input: { ticker } }))
  const answer = data?.refreshSymbol
  if (!answer) return note(ticker, { text: sentence(error!), until: ['REFRESHED'] })
  switch (answer.__typename) {
    case 'SymbolRefreshed':
      symbolFeed.learn(answer.symbol)
      return tell(
        `${ticker} is refreshed: ${many(answer.barsChanged, 'bar')} changed, ${many(answer.levelsExtracted, 'level')}.`,
      )
    case 'AlreadyRefreshing':
      return note(ticker, { text: alreadyRefreshing(answer.refresh), until: ['REFRESHED', 'REFRESH_FAILED'] })
    default:
      return note(ticker, { text: answer.message, until: ['REFRESHED'] })
  }
}

export async function remove({ ticker, version }: Pick<Card, 'ticker' | 'version'>) {
  forget(ticker)
  const input = { ticker, expectedVersion: version }
  const { data, error } = await own(ticker, client.mutation(RemoveSymbolDocument, { input }))
  const answer = data?.removeSymbol
  if (!answer) return note(ticker, { text: sentence(error!) })
  switch (answer.__typename) {
    case 'SymbolRemoved':
      symbolFeed.learn(answer.symbol)
      return tell(`${ticker} is no longer tracked. Its history is kept.`, {
        label: 'Undo',
        run: () => void revive({ ticker, expectedVersion: answer.symbol.version }),
        isUndo: true,
      })
    case 'VersionConflict':
      return explainConflict(ticker, version, answer.currentVersion)
    default:
      return note(ticker, { text: answer.message })
  }
}

/** Somebody was faster: the symbol is shown as it is now, and removing that is offered. */
async function explainConflict(ticker: string, seen: number, current: number) {
  const { data } = await client.query(SymbolNowDocument, { ticker })
  if (data?.symbol) symbolFeed.learn(data.symbol)
  if (data?.symbol?.status === 'RETIRED') return tell(`${ticker} is no longer tracked: somebody else has removed it.`)
  const version = data?.symbol?.version ?? current
  note(ticker, {
    text: `${ticker} was changed meanwhile: you saw version ${seen}, it is at version ${version} now. Nothing was removed.`,
    again: { label: 'Remove it as it is now', run: () => void remove({ ticker, version }) },
  })
}

async function revive(input: AddSymbolInput) {
  const refusal = await add(input)
  if (!refusal) return
  const again = refusal.version === undefined && { label: 'Try again', run: () => void revive(input) }
  tell(refusal.text, again || undefined)
}

/** Why a symbol was not added; what else may be meant; the version that one of earlier is revived at. */
export type NotAdded = { text: string; suggestions?: readonly string[]; version?: number }

/** Null when it was added. */
export async function add(input: AddSymbolInput): Promise<NotAdded | null> {
  const { data, error } = await own(input.ticker, client.mutation(AddSymbolDocument, { input }))
  const answer = data?.addSymbol
  if (!answer) return { text: sentence(error!) }
  switch (answer.__typename) {
    case 'SymbolAdded':
      symbolFeed.learn(answer.symbol)
      tell(`${answer.symbol.ticker} is tracked${answer.job ? '; its history is being loaded' : ' already'}.`)
      return null
    case 'InvalidTicker':
      return { text: answer.message, suggestions: answer.suggestions }
    case 'VersionConflict': {
      const before = `${input.ticker.toUpperCase()} was tracked before, and its history is kept.`
      return { text: input.expectedVersion === undefined ? before : answer.message, version: answer.currentVersion }
    }
    default:
      return { text: answer.message }
  }
}
