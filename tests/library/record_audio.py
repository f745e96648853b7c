"""`std.audio` as librosa, SciPy and OpenAI's Whisper compute it, times first."""

import librosa
import numpy as np
from scipy import signal


def f32(values):
    return np.asarray(values, dtype=np.float32)


def parts(spectrum):
    """Complex `[bins, frames]` as `[frames, bins, 2]`."""
    return f32(np.stack([spectrum.T.real, spectrum.T.imag], axis=-1))


def sound(random, count, rate):
    """Tones and noise."""
    time = np.arange(count) / rate
    tones = sum(a * np.sin(2 * np.pi * f * time + p) for a, f, p in [(0.3, 220, 0), (0.2, 1330, 1), (0.1, 5200, 2)])
    return f32(tones * np.exp(-3 * time) + random.normal(0, 0.01, count))


def whisper(samples, mels):
    """`whisper.audio.log_mel_spectrogram`, whose filters are `librosa.filters.mel(sr=16000, n_fft=400, n_mels=mels)`."""
    spectrum = librosa.stft(samples, n_fft=400, hop_length=160, pad_mode="reflect")
    magnitudes = np.abs(spectrum[:, :-1]) ** 2
    bands = librosa.filters.mel(sr=16000, n_fft=400, n_mels=mels).astype(np.float64) @ magnitudes
    log = np.log10(np.maximum(bands, 1e-10))
    return (np.maximum(log, log.max() - 8.0) + 4.0) / 4.0


def cases():
    random = np.random.default_rng(20263)
    x = f32(random.normal(0, 1, 100))
    cut = lambda hop: f32(librosa.util.frame(x, frame_length=10, hop_length=hop).T)
    yield "Pieces", {"x": x}, {"apart": cut(15), "near": cut(1), "over": cut(5)}

    x = sound(random, 1600, 16000)
    double = x.astype(np.float64)
    transform = lambda size, hop, **options: librosa.stft(double, n_fft=size, hop_length=hop, **options)
    yield "Spectra", {"x": x}, {
        "inside": parts(transform(400, 160, center=False)),
        "long": parts(transform(1024, 512)),
        "mirrored": parts(transform(400, 160, pad_mode="reflect")),
        "odd": parts(transform(333, 177, center=False)),
        "padded": parts(transform(400, 160)),
        "power": f32(np.abs(transform(256, 128).T) ** 2),
    }

    power = f32(random.normal(0, 1, (5, 201)) ** 2)
    power[2] *= 1e-12
    double = power.astype(np.float64)
    filters = lambda rate, mels, **options: librosa.filters.mel(sr=rate, n_fft=400, n_mels=mels, dtype=np.float64, **options).T
    yield "Bands", {"x": power}, {
        "htk": f32(double @ filters(16000, 40, htk=True)),
        "part": f32(double @ filters(22050, 20, fmin=300, fmax=8000)),
        "slaney": f32(double @ filters(16000, 80)),
        "decibels": f32(librosa.power_to_db(double)),
    }

    x = sound(random, 6400, 16000)
    yield "Whisper", {"x": x}, {"value": f32(whisper(x.astype(np.float64), 80))}

    x = sound(random, 8000, 22050)
    double = x.astype(np.float64)
    bands = librosa.power_to_db(librosa.feature.melspectrogram(y=double, sr=22050))
    yield "Cepstra", {"x": x}, {
        "log_mel": f32(bands.T),
        "mfcc": f32(librosa.feature.mfcc(y=double, sr=22050).T),
        "few": f32(librosa.feature.mfcc(y=double, sr=16000, n_mfcc=13, n_mels=40, n_fft=400, hop_length=160).T),
        "dct": f32(librosa.feature.mfcc(S=bands, n_mfcc=7).T),
    }

    x = sound(random, 1001, 48000)
    double = x.astype(np.float64)
    yield "Rates", {"x": x}, {
        "down": f32(signal.resample_poly(double, 1, 3)),
        "same": x,
        "strange": f32(signal.resample_poly(double, 160, 441)),
        "up": f32(signal.resample_poly(double, 2, 1)),
    }

    x = sound(random, 1000, 16000)
    power = np.abs(librosa.stft(x[:400].astype(np.float64), n_fft=400, hop_length=160).T) ** 2
    yield "Heard", {"sound": x}, {"long": np.pad(x, (0, 200)), "power": f32(power), "short": x[:400]}
