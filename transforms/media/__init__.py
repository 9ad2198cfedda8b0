"""ffmpeg as limited, killable children: probe, frames, audio."""
