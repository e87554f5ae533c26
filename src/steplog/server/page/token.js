// The token that the page reads with. It comes in the fragment of the address, which no browser sends to anyone, is
// taken out of the address bar at once, and is kept for this tab. Another tab of this server that has one passes it on,
// soon or late.

const KEY = "steplog-token";
const ANSWER_MS = 150;

let token = "";

/** The token, or an empty text. */
export const currentToken = () => token;

/** Find the token: in the address, in this tab, in another tab. */
export async function takeToken() {
  const given = /^#token=([A-Za-z0-9_-]+)$/.exec(location.hash);
  if (given) {
    history.replaceState(null, "", location.pathname + location.search);
    keepToken(given[1]);
  } else {
    token = token || kept() || (await fromAnotherTab());
    if (token) keepToken(token);
  }
  answerOtherTabs();
}

export function keepToken(given) {
  token = given;
  try {
    sessionStorage.setItem(KEY, given);
  } catch {
    // A browser that keeps nothing: the token lasts as long as this page.
  }
}

function kept() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

function fromAnotherTab() {
  return new Promise((found) => {
    const channel = new BroadcastChannel(KEY);
    let late = false;
    channel.onmessage = ({ data }) => {
      if (typeof data?.token !== "string") return;
      channel.close();
      found(data.token);
      if (!late || token) return;
      keepToken(data.token); // by now the page asks for it
      location.reload();
    };
    channel.postMessage({ wanted: true });
    setTimeout(() => {
      late = true;
      found("");
    }, ANSWER_MS);
  });
}

let answering = null;

function answerOtherTabs() {
  if (answering) return;
  answering = new BroadcastChannel(KEY);
  answering.onmessage = ({ data }) => data?.wanted && token && answering.postMessage({ token });
}
