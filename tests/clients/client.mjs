// One GraphQL client, told by lines of JSON on stdin what to do; every line is answered by one on stdout.
//   node client.mjs graphql-ws http://127.0.0.1:8000/graphql
//
//   {"do": "ask", "query", "variables"}            a query or a mutation: {"data", "errors"}
//   {"do": "follow", "as", "query", "variables"}   starts a subscription, under a name of the caller's
//   {"do": "next", "of"}                           its next result, or null when it has ended
//   {"do": "leave", "of"}                          unsubscribes
//
// The end of stdin ends what is followed, and the client.

import { once } from "node:events";
import { createInterface } from "node:readline";
import { ApolloClient, ApolloLink, HttpLink, InMemoryCache, Observable, gql } from "@apollo/client";
import { CombinedGraphQLErrors } from "@apollo/client/errors";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { OperationTypeNode, print } from "graphql";
import { Client as UrqlClient, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient as createSse } from "graphql-sse";
import { createClient as createWs } from "graphql-ws";

const RETRY = {
  retryAttempts: 100,
  retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)),
};

// One socket for all that a client does. Everything is worth another attempt, a refused connection too, which by default is not.
const ws = (url) => createWs({ url: url.replace("http", "ws"), lazy: false, shouldRetry: () => true, ...RETRY });
const sse = (url) => createSse({ url, retryAttempts: RETRY.retryAttempts, retry: RETRY.retryWait });

// What `subscribe` delivers to the sink it is given, to be taken one by one.
function results(subscribe) {
  const arrived = [];
  let arrival = new EventTarget();
  const deliver = (kind, value) => {
    arrived.push({ kind, value });
    arrival.dispatchEvent(new Event("something"));
  };
  const leave = subscribe({
    next: (value) => deliver("next", value),
    error: (value) => deliver("error", value),
    complete: () => deliver("complete"),
  });
  return {
    leave,
    async next() {
      if (arrived.length === 0) await once(arrival, "something");
      const { kind, value } = arrived.shift();
      if (kind === "error") throw value;
      return kind === "complete" ? null : value;
    },
  };
}

// graphql-ws and graphql-sse themselves: a request is encoded anew for every connection, so that one which is told the newest
// cursor resumes behind it.
function bare(client) {
  const follow = (query, variables) =>
    results((sink) =>
      client.subscribe(
        { query, variables },
        {
          ...sink,
          next(result) {
            if (result.data?.symbolChanged) variables.after = result.data.symbolChanged.cursor;
            sink.next(result);
          },
        },
      ),
    );
  return {
    async ask(query, variables) {
      const operation = results((sink) => client.subscribe({ query, variables }, sink));
      const result = await operation.next();
      if (result === null) throw new Error("complete, without a result");
      if ((await operation.next()) !== null) throw new Error("a second result of what has one");
      return result;
    },
    follow,
    close: () => client.dispose(),
  };
}

function urql(url, options, close) {
  const client = new UrqlClient({ url, ...options });
  const plain = ({ data, error }) => {
    if (error?.networkError) throw error.networkError;
    return { data, errors: error?.graphQLErrors };
  };
  return {
    async ask(query, variables) {
      const isMutation = query.trimStart().startsWith("mutation");
      return plain(await client[isMutation ? "mutation" : "query"](query, variables).toPromise());
    },
    follow: (query, variables) =>
      results((sink) => {
        const { unsubscribe } = client.subscription(query, variables).subscribe((result) => sink.next(plain(result)));
        return unsubscribe;
      }),
    close,
  };
}

function urqlOverWs(url) {
  const socket = ws(url);
  const forwardSubscription = ({ query, variables }) => ({
    subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
  });
  return urql(url, { exchanges: [subscriptionExchange({ forwardSubscription }), fetchExchange] }, () => socket.dispose());
}

const urqlOverSse = (url) => urql(url, { exchanges: [fetchExchange], fetchSubscriptions: true }, () => {});

// Apollo brings no link for SSE of its own but multipart: this one is what its users put in front of graphql-sse.
class SseLink extends ApolloLink {
  constructor(client) {
    super();
    this.client = client;
  }

  request({ operationName, query, variables }) {
    return new Observable((sink) => this.client.subscribe({ operationName, query: print(query), variables }, sink));
  }
}

function apollo(url, link, socket) {
  const isSubscription = ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION;
  const client = new ApolloClient({
    link: ApolloLink.split(isSubscription, link, new HttpLink({ uri: url })),
    cache: new InMemoryCache(),
    defaultOptions: Object.fromEntries(
      ["query", "mutate"].map((name) => [name, { errorPolicy: "all", fetchPolicy: "no-cache" }]),
    ),
  });
  const plain = ({ data, error }) => {
    if (error && !CombinedGraphQLErrors.is(error)) throw error;
    return { data, errors: error?.errors };
  };
  return {
    async ask(query, variables) {
      const document = gql(query);
      const isMutation = document.definitions[0].operation === OperationTypeNode.MUTATION;
      return plain(
        await (isMutation ? client.mutate({ mutation: document, variables }) : client.query({ query: document, variables })),
      );
    },
    follow: (query, variables) =>
      results((sink) => {
        const changes = client.subscribe({ query: gql(query), variables, errorPolicy: "all", fetchPolicy: "no-cache" });
        const subscription = changes.subscribe({ ...sink, next: (result) => sink.next(plain(result)) });
        return () => subscription.unsubscribe();
      }),
    close() {
      client.stop();
      socket.dispose();
    },
  };
}

function apolloOverWs(url) {
  const socket = ws(url);
  return apollo(url, new GraphQLWsLink(socket), socket);
}

function apolloOverSse(url) {
  const client = sse(url);
  return apollo(url, new SseLink(client), client);
}

const CLIENTS = {
  "graphql-ws": (url) => bare(ws(url)),
  "graphql-sse": (url) => bare(sse(url)),
  "urql over graphql-ws": urqlOverWs,
  "urql over SSE": urqlOverSse,
  "Apollo over graphql-ws": apolloOverWs,
  "Apollo over graphql-sse": apolloOverSse,
};

const [name, url] = process.argv.slice(2);
const client = CLIENTS[name](url);
const followed = new Map();

const VERBS = {
  ask: ({ query, variables }) => client.ask(query, variables),
  follow({ as, query, variables }) {
    followed.set(as, client.follow(query, variables));
  },
  next: ({ of }) => followed.get(of).next(),
  leave({ of }) {
    followed.get(of).leave();
    followed.delete(of);
  },
};

// What a client throws is an answer too: graphql-ws throws the errors of an operation that never began.
async function answer(command) {
  try {
    return (await VERBS[command.do](command)) ?? null;
  } catch (error) {
    return Array.isArray(error) ? { errors: error } : { thrown: String(error?.message ?? error?.reason ?? error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line))));
}
for (const { leave } of followed.values()) leave();
client.close();
