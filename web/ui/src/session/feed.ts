// The session as it stands: its turns are followed, and what moves between them is read every second while it runs.
import { useSyncExternalStore } from 'react'
import { client } from '../api/client'
import { follow } from '../api/follow'
import { SessionActivationDocument, type SessionCardFragment, SessionDocument } from '../gql'

export type Session = SessionCardFragment

const LOOK_MS = 1_000

class SessionFeed {
  #session: Session | null = null
  readonly #listeners = new Set<() => void>()
  #unfollow: (() => void) | undefined
  #look: ReturnType<typeof setInterval> | undefined

  get = () => this.#session

  follow = (listener: () => void) => {
    this.#listeners.add(listener)
    if (!this.#unfollow) this.#start()
    return () => {
      this.#listeners.delete(listener)
      if (!this.#listeners.size) this.#stop()
    }
  }

  /** What an answer has just told. */
  learn = (session: Session) => {
    const held = this.#session
    if (held && (session.epoch < held.epoch || session.version < held.version)) return
    this.#session = session
    for (const listener of this.#listeners) listener()
  }

  #start() {
    const begin = async () => {
      this.#session = null // the first that is told is the present, whatever came before
      return {}
    }
    const { end } = follow(SessionActivationDocument, begin, ({ sessionActivation }) => this.learn(sessionActivation.session))
    this.#unfollow = end
    this.#look = setInterval(() => void this.#read(), LOOK_MS)
  }

  #stop() {
    this.#unfollow?.()
    this.#unfollow = undefined
    clearInterval(this.#look)
  }

  async #read() {
    if (document.hidden || !this.#session || !isRunning(this.#session)) return
    const { data } = await client.query(SessionDocument, {})
    if (data) this.learn(data.session)
  }
}

export const isRunning = ({ state }: Session) => state !== 'STOPPED' && state !== 'FINISHED'

export const sessionFeed = new SessionFeed()

/** Null until it was read. */
export const useSession = () => useSyncExternalStore(sessionFeed.follow, sessionFeed.get)
