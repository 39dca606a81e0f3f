import { type ReactElement, type SubmitEvent, useState } from "react";
import { useProfile } from "./store";

/** Whether an id would be a step in a path, however it is spelled: a browser takes it before it asks. */
function isDots(userId: string): boolean {
  return /^\.{1,2}$/.test(userId.trim());
}

/** Where one says whose profile to show; nobody's if the field is empty. */
export function ProfileForm(): ReactElement {
  const [userId, setUserId] = useState("7");
  const profile = useProfile((store) => store.profile);
  const show = useProfile((store) => store.show);
  const clear = useProfile((store) => store.clear);

  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const id = userId.trim().toWellFormed(); // half a surrogate pair fits into no path
    if (id === "") {
      clear();
    } else {
      // A fault that was asked for stays, for this user, too.
      void show({ userId: id, fault: profile.kind === "empty" ? "" : profile.request.fault });
    }
  };

  return (
    <form onSubmit={submit}>
      <label htmlFor="user-id">User id</label>
      <input
        id="user-id"
        inputMode="numeric"
        autoComplete="off"
        value={userId}
        onChange={(event) => {
          setUserId(event.target.value);
          event.target.setCustomValidity(isDots(event.target.value) ? "No path can end in . or .. as an id." : "");
        }}
      />
      <button type="submit">Show</button>
    </form>
  );
}
