// The onboarding queue as it is for everybody: read, then followed from there. The one place that holds jobs.
import { useSyncExternalStore } from 'react'
import { client, sentence } from '../api/client'
import { follow } from '../api/follow'
import { OnboardingDocument, OnboardingProgressDocument } from '../gql'
import { soon } from '../kit/soon'
import { Store } from '../kit/store'
import { howFar, type Job } from './jobs'

export type Queue = {
  state: 'loading' | 'live' | 'failed'
  error: string | null
  depth: number
  maxDepth: number
  maxConcurrent: number
  /** By id. */
  jobs: ReadonlyMap<string, Job>
}

const LOADING: Queue = { state: 'loading', error: null, depth: 0, maxDepth: 0, maxConcurrent: 0, jobs: new Map() }
/** A step of one job moves the places and the estimates of others, of which no event tells. */
const LOOK_AGAIN_MS = 400

class OnboardingFeed {
  readonly #queue = new Store(LOADING)
  readonly #watchers = new Set<(job: Job) => void>()
  #followers = 0
  #following: ReturnType<typeof follow> | undefined

  get = () => this.#queue.get()

  follow = (listener: () => void) => {
    const forget = this.#queue.follow(listener)
    this.#followers += 1
    this.#following ??= follow(OnboardingProgressDocument, this.#begin, ({ onboardingProgress: { job } }) => {
      this.learn(job)
      for (const watcher of this.#watchers) watcher(job)
    })
    return () => {
      forget()
      this.#followers -= 1
      if (this.#followers) return
      this.#following?.end()
      this.#following = undefined
    }
  }

  /** Calls for every single step, while somebody follows. */
  watch = (watcher: (job: Job) => void) => {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  /** What an answer or an event tells of jobs. */
  learn = (...told: Job[]) => {
    this.#queue.set({ ...this.get(), jobs: later(this.get().jobs, told) })
    this.#lookAgain()
  }

  retry = () => {
    this.#queue.set(LOADING)
    void this.#following?.again()
  }

  /** All anew: what was known may be of another log. */
  #begin = async () => {
    const cursor = await this.#read({ anew: true })
    return cursor === undefined ? null : { after: cursor }
  }

  readonly #lookAgain = soon(async () => void (this.#following && (await this.#read({ anew: false }))), LOOK_AGAIN_MS)

  async #read({ anew }: { anew: boolean }): Promise<string | undefined> {
    const { data, error } = await client.query(OnboardingDocument, {})
    if (data) {
      const { depth, maxDepth, maxConcurrent, jobs, cursor } = data.onboarding
      const known = anew ? LOADING.jobs : this.get().jobs
      this.#queue.set({ state: 'live', error: null, depth, maxDepth, maxConcurrent, jobs: later(known, jobs) })
      return cursor
    }
    if (this.get().state !== 'live') this.#queue.set({ ...this.get(), state: 'failed', error: sentence(error!) })
    return undefined
  }
}

/** Of each job what is further on: answers and events overtake each other. */
function later(known: Queue['jobs'], told: readonly Job[]): Queue['jobs'] {
  const jobs = new Map(known)
  for (const job of told) {
    const held = jobs.get(job.id)
    if (!held || howFar(held) <= howFar(job)) jobs.set(job.id, job)
  }
  return jobs
}

export const onboardingFeed = new OnboardingFeed()

export const useOnboarding = () => useSyncExternalStore(onboardingFeed.follow, onboardingFeed.get)
