// The microphone, and in a sentence what keeps us from it.

export class MicrophoneError extends Error {}

const WHY = {
  NotAllowedError:
    "The microphone is blocked for this page. Allow it in the browser’s site settings (the icon beside the address), then try again.",
  NotFoundError: "No microphone was found. Plug one in, or switch it on in the system’s sound settings.",
  NotReadableError: "The microphone cannot be opened: another program may be using it.",
  SecurityError: "The browser’s or the system’s policy does not let this page use the microphone.",
};

/**
 * Open the microphone. `processed`: echo cancellation, noise suppression and automatic gain.
 * Throws MicrophoneError, whose message is meant for the user.
 */
export async function openMicrophone({ processed }) {
  if (!isSecureContext || navigator.mediaDevices?.getUserMedia === undefined) {
    throw new MicrophoneError(
      "Browsers give the microphone only to secure pages: open this one by https, with the service’s own host name.",
    );
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: {
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
