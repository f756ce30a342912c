// What a viewer may tell the session to do, and what is said where it did not.
import { useState } from 'react'
import { client, sentence } from '../api/client'
import {
  AddSessionSymbolDocument,
  PauseSessionDocument,
  RemoveSessionSymbolDocument,
  ResumeSessionDocument,
  type SessionAnswerFragment,
  StartSessionDocument,
  type StartSessionInput,
  StopSessionDocument,
} from '../gql'
import { words } from '../kit/figures'
import { sessionFeed } from './feed'

/** `name` as in `Stop it as it is now`. */
export type Command = { name: string; send: (expectedVersion: number) => Promise<Sent> }
type Sent = { data?: { answer: SessionAnswerFragment } | undefined; error?: Parameters<typeof sentence>[0] | undefined }

/** `field`: the argument that is wrong; `again` sends the command to the session as it is now. */
export type Refusal = { text: string; field: string | null; again?: { label: string; run: () => void } }

export const start = (input: Omit<StartSessionInput, 'expectedVersion'>): Command => ({
  name: 'Start it',
  send: (expectedVersion) => client.mutation(StartSessionDocument, { input: { ...input, expectedVersion } }).toPromise(),
})

export const stop: Command = {
  name: 'Stop it',
  send: (expectedVersion) => client.mutation(StopSessionDocument, { expectedVersion }).toPromise(),
}

export const pause: Command = {
  name: 'Pause it',
  send: (expectedVersion) => client.mutation(PauseSessionDocument, { expectedVersion }).toPromise(),
}

export const resume: Command = {
  name: 'Resume it',
  send: (expectedVersion) => client.mutation(ResumeSessionDocument, { expectedVersion }).toPromise(),
}

export const addSymbol = (ticker: string): Command => ({
  name: `Add ${ticker} to it`,
  send: (expectedVersion) => client.mutation(AddSessionSymbolDocument, { input: { ticker, expectedVersion } }).toPromise(),
})

export const removeSymbol = (ticker: string): Command => ({
  name: `Remove ${ticker} from it`,
  send: (expectedVersion) => client.mutation(RemoveSessionSymbolDocument, { input: { ticker, expectedVersion } }).toPromise(),
})

/** Gives one command at a time, each for the session as the viewer sees it. */
export function useCommands() {
  const [refusal, setRefusal] = useState<Refusal | null>(null)
  const [isUnderWay, setUnderWay] = useState(false)

  /** Whether it was accepted. */
  async function give(command: Command): Promise<boolean> {
    setRefusal(null)
    setUnderWay(true)
    const { data, error } = await command.send(sessionFeed.session.get()?.version ?? 0)
    if (data?.answer.__typename === 'VersionConflict') await sessionFeed.read()
    setUnderWay(false)
    if (data?.answer.__typename === 'SessionChanged') {
      sessionFeed.learn(data.answer.session)
      return true
    }
    setRefusal(data ? refused(data.answer, command) : { text: sentence(error!), field: null })
    return false
  }

  function refused(answer: Exclude<SessionAnswerFragment, { __typename: 'SessionChanged' }>, command: Command): Refusal {
    switch (answer.__typename) {
      case 'VersionConflict': {
        const { expectedVersion, currentVersion } = answer
        const state = words(sessionFeed.session.get()?.state ?? 'changed')
        return {
          text:
            `Somebody else changed the session meanwhile: you saw version ${expectedVersion}, it is at ${currentVersion} now, ` +
            `and ${state}. Nothing was done for you.`,
          field: null,
          again: { label: `${command.name} as it is now`, run: () => void give(command) },
        }
      }
      case 'InvalidSession':
        return { text: answer.message, field: answer.field }
      default:
        return { text: answer.message, field: null }
    }
  }

  return { give, refusal, isUnderWay, dismiss: () => setRefusal(null) }
}

export type Commands = ReturnType<typeof useCommands>
