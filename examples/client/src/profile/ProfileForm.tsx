import { type ReactElement, type SubmitEvent, useState } from "react";
import { useProfile } from "./store";

/** Whether an ID is a dot segment, which browsers resolve even if it is percent-encoded. */
function isDots(userId: string): boolean {
  return /^\.{1,2}$/.test(userId.trim());
}

/** The form for the user ID. An empty ID clears the profile. */
export function ProfileForm(): ReactElement {
  const [userId, setUserId] = useState("7");
  const profile = useProfile((store) => store.profile);
  const show = useProfile((store) => store.show);
  const clear = useProfile((store) => store.clear);

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const id = userId.trim().toWellFormed(); // a path cannot contain a lone surrogate
    if (id === "") {
      clear();
    } else {
      // Keep the selected fault.
      void show({ userId: id, fault: profile.kind === "empty" ? "" : profile.request.fault });
    }
  };

  return (
    <form onSubmit={submit}>
      <label htmlFor="user-id">User ID</label>
      <input
        id="user-id"
        inputMode="numeric"
        autoComplete="off"
        value={userId}
        onChange={(event) => {
          setUserId(event.target.value);
          event.target.setCustomValidity(isDots(event.target.value) ? "A path cannot end in . or .. as an ID." : "");
        }}
      />
      <button type="submit">Show</button>
    </form>
  );
}
