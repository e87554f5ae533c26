// The page token. It comes in the URL's fragment, which browsers do not send, is removed from the address bar at once and
// kept for this tab. Another tab of this server passes it on, perhaps late.

const KEY = "steplog-token";
const ANSWER_MS = 150;

let token = "";

/** The token, or an empty string. */
export const currentToken = () => token;

/** Find the token: in the URL, this tab, or another tab. */
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
    // No session storage: the token lasts as long as the page.
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
      keepToken(data.token); // the page is already asking for it
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
