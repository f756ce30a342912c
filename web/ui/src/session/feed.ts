// The session as it stands: its turns are followed, and what moves between them is read every second while it runs.
import { useSyncExternalStore } from 'react'
import { client, sentence } from '../api/client'
import { connection } from '../api/connection'
import { follow } from '../api/follow'
import { SessionActivationDocument, type SessionCardFragment, SessionDocument } from '../gql'
import { Store, useStore } from '../kit/store'

export type Session = SessionCardFragment
export type Part = Session['symbols'][number]

const LOOK_MS = 1_000

class SessionFeed {
  /** Null until it was read. */
  readonly session = new Store<Session | null>(null)
  /** Why it could not be read. */
  readonly error = new Store<string | null>(null)
  #followers = 0
  #unfollow: (() => void) | undefined
  #look: ReturnType<typeof setInterval> | undefined

  follow = (listener: () => void) => {
    const forget = this.session.follow(listener)
    if (!this.#followers++) this.#start()
    return () => {
      forget()
      if (!--this.#followers) this.#stop()
    }
  }

  /** What an answer has just told; nothing new when a later one was quicker. */
  learn = (session: Session) => {
    const held = this.session.get()
    if (held && (session.epoch < held.epoch || session.version < held.version)) return
    this.session.set(session)
  }

  read = async () => {
    const { data, error } = await client.query(SessionDocument, {})
    if (data) this.learn(data.session)
    this.error.set(error ? sentence(error) : null)
  }

  #start() {
    const begin = async () => {
      this.session.set(null) // the first that is told is the present, whatever came before
      void this.read()
      return {}
    }
    const { end } = follow(SessionActivationDocument, begin, ({ sessionActivation }) => this.learn(sessionActivation.session))
    this.#unfollow = end
    this.#look = setInterval(() => {
      const session = this.session.get()
      const isHeard = connection.get().state === 'connected'
      if (session && isRunning(session) && isHeard && !document.hidden) void this.read()
    }, LOOK_MS)
  }

  #stop() {
    this.#unfollow?.()
    this.#unfollow = undefined
    clearInterval(this.#look)
  }
}

export const isRunning = ({ state }: Session) => state !== 'STOPPED' && state !== 'FINISHED'

export const sessionFeed = new SessionFeed()

/** Null until it was read. */
export const useSession = () => useSyncExternalStore(sessionFeed.follow, sessionFeed.session.get)

export const useSessionError = () => useStore(sessionFeed.error)
