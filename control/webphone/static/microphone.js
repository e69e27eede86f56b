// The microphone, and in a sentence what keeps us from it.

export class MicrophoneError extends Error {}

const WHY = {
  NotAllowedError:
    "The microphone is blocked for this page. Allow it in the browser’s site settings (the icon beside the address), then try again.",
  NotFoundError: "No microphone was found. Plug one in, or switch it on in the system’s sound settings.",
  NotReadableError: "The microphone cannot be opened: another program may be using it.",
  OverconstrainedError: "That microphone is not there any more. Choose another one.",
  SecurityError: "The browser’s or the system’s policy does not let this page use the microphone.",
};

/** Whether browsers give this page a microphone at all. */
export const hasMicrophones = () => isSecureContext && navigator.mediaDevices?.getUserMedia !== undefined;

/**
 * Open a microphone. `processed`: echo cancellation, noise suppression and automatic gain.
 * `deviceId`: which one; without it the system's default.
 * Throws MicrophoneError, whose message is meant for the user.
 */
export async function openMicrophone({ processed, deviceId = "" }) {
  if (!hasMicrophones()) {
    throw new MicrophoneError(
      "Browsers give the microphone only to secure pages: open this one by https, with the service’s own host name.",
    );
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: {
        ...(deviceId === "" ? {} : { deviceId: { exact: deviceId } }),
        channelCount: 1,
        echoCancellation: processed,
        noiseSuppression: processed,
        autoGainControl: processed,
      },
    });
  } catch (error) {
    throw new MicrophoneError(WHY[error.name] ?? `The microphone cannot be used: ${error.message || error.name}.`);
  }
}

/**
 * The microphones and loudspeakers that there are: {inputs, outputs}, each [{id, name}].
 * Browsers name them only once the page has had the microphone.
 */
export async function devices() {
  if (!hasMicrophones()) return { inputs: [], outputs: [] };
  const all = await navigator.mediaDevices.enumerateDevices();
  const of = (kind, word) =>
    all
      .filter((device) => device.kind === kind && device.deviceId !== "")
      .map((device, index) => ({ id: device.deviceId, name: device.label || `${word} ${index + 1}` }));
  return { inputs: of("audioinput", "Microphone"), outputs: of("audiooutput", "Loudspeaker") };
}
