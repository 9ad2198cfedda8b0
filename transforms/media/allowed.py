"""The containers and codecs that may be opened; everything else is refused.

ffmpeg finds out by content what a file is, and some of what it knows opens other
files or connections (playlists, ffconcat, SDP, image patterns). Such formats are not
on the list, so a text file with a film's name cannot reach its neighbours.
"""

from typing import Final

#: Demuxers by ffmpeg's names.
FORMATS: Final = (
    # films
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "flv"),
    *("asf", "ogg", "mxf", "nut", "gxf", "dv", "rm", "ivf", "wtv", "lvf", "yuv4mpegpipe", "live_flv", "nsv"),
    # sound
    *("wav", "w64", "mp3", "aac", "flac", "aiff", "au", "caf", "ac3", "eac3", "dts", "dtshd", "truehd", "amr", "ape"),
    *("wv", "tta", "tak", "mpc", "mpc8", "nistsphere", "voc", "sox", "loas", "gsm", "dsf", "iff", "ircam", "avr"),
    # pictures
    *("gif", "apng", "png_pipe", "jpeg_pipe", "jpegls_pipe", "webp_pipe", "bmp_pipe", "tiff_pipe", "jpegxl_pipe"),
    *("j2k_pipe", "ppm_pipe", "pgm_pipe", "pbm_pipe", "pam_pipe", "psd_pipe", "qoi_pipe", "exr_pipe", "dds_pipe"),
    *("sgi_pipe", "pcx_pipe", "sunrast_pipe", "ico", "mjpeg"),
)

#: Demuxers of text that belongs to films: such a file is no media, and no attack either.
TEXT_FORMATS: Final = frozenset(
    (
        *("ass", "aqtitle", "jacosub", "lrc", "microdvd", "mpl2", "mpsub", "pjs", "realtext", "sami", "scc", "srt"),
        *("stl", "subviewer", "subviewer1", "sup", "tedcaptions", "vplayer", "webvtt", "ffmetadata", "tty", "bin"),
        *("xbin", "idf", "adf"),
    )
)

#: Decoders by ffmpeg's names.
CODECS: Final = (
    *("h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "libaom-av1", "mpeg1video"),
    *("mpeg2video", "mpegvideo", "mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4", "h261", "h263", "h263p", "h263i"),
    *("flv", "mjpeg", "mjpegb", "prores", "dnxhd", "dvvideo", "cfhd", "wmv1", "wmv2", "wmv3", "vc1", "theora"),
    *("ffv1", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "v210", "v410", "yuv4", "qtrle", "rpza", "svq1", "svq3"),
    *("cinepak", "indeo3", "indeo4", "indeo5", "vp6", "vp6a", "vp6f", "vp7", "rv10", "rv20", "rv30", "rv40"),
    *("msvideo1", "magicyuv", "wrapped_avframe", "hap"),
    *("png", "apng", "gif", "bmp", "tiff", "webp", "jpeg2000", "libopenjpeg", "jpegls", "libjxl", "ppm", "pgm"),
    *("pbm", "pam", "psd", "qoi", "exr", "dds", "sgi", "pcx", "sunrast"),
    *("aac", "aac_fixed", "aac_latm", "mp3", "mp3float", "mp2", "mp2float", "mp1", "mp1float", "mp3adu", "mp3on4"),
    *("ac3", "ac3_fixed", "eac3", "dca", "truehd", "mlp", "opus", "libopus", "vorbis", "libvorbis", "flac", "alac"),
    *("wavpack", "tta", "tak", "ape", "mpc7", "mpc8", "amrnb", "amrwb", "gsm", "gsm_ms", "libgsm", "libgsm_ms"),
    *("speex", "libspeex", "wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice", "nellymoser", "qdm2", "qdmc"),
    *("cook", "sipr", "ra_144", "ra_288", "atrac1", "atrac3", "atrac3p", "shorten", "g722", "g723_1", "g726"),
    *("g726le", "g729", "ilbc", "libilbc", "mace3", "mace6", "dsd_lsbf", "dsd_msbf", "dsd_lsbf_planar"),
    "dsd_msbf_planar",
    *("pcm_alaw", "pcm_mulaw", "pcm_bluray", "pcm_dvd", "pcm_f16le", "pcm_f24le", "pcm_f32be", "pcm_f32le"),
    *("pcm_f64be", "pcm_f64le", "pcm_lxf", "pcm_s8", "pcm_s8_planar", "pcm_s16be", "pcm_s16be_planar"),
    *("pcm_s16le", "pcm_s16le_planar", "pcm_s24be", "pcm_s24daud", "pcm_s24le", "pcm_s24le_planar"),
    *("pcm_s32be", "pcm_s32le", "pcm_s32le_planar", "pcm_s64be", "pcm_s64le", "pcm_sga", "pcm_u8"),
    *("pcm_u16be", "pcm_u16le", "pcm_u24be", "pcm_u24le", "pcm_u32be", "pcm_u32le", "pcm_vidc"),
    *("adpcm_4xm", "adpcm_ct", "adpcm_g722", "adpcm_g726", "adpcm_g726le", "adpcm_ima_apc", "adpcm_ima_qt"),
    *("adpcm_ima_wav", "adpcm_ms", "adpcm_swf", "adpcm_yamaha", "adpcm_ima_ws"),
)

#: Subtitle decoders: ffprobe opens one for each stream and gives up where it may not.
TEXT_CODECS: Final = (
    *("ass", "ssa", "srt", "subrip", "mov_text", "webvtt", "text", "dvdsub", "dvbsub", "pgssub", "cc_dec", "xsub"),
    *("microdvd", "subviewer", "realtext", "sami", "stl", "jacosub", "vplayer", "mpl2", "pjs", "subviewer1"),
    *("libzvbi_teletextdec", "libaribb24"),
)

#: How far ffmpeg looks for the parameters of a stream.
_LOOK_BYTES: Final = 20 * 2**20
_LOOK_MICROSECONDS: Final = 20 * 10**6


def input_options(*, max_pixels: int, threads: int) -> dict[str, str | int]:
    """Options, by ffmpeg's names, under which every file is opened."""
    return {
        "protocol_whitelist": "file,pipe",
        "format_whitelist": ",".join(FORMATS),
        "codec_whitelist": ",".join((*CODECS, *TEXT_CODECS)),
        "max_pixels": max_pixels,
        "threads": threads,
        "probesize": _LOOK_BYTES,
        "analyzeduration": _LOOK_MICROSECONDS,
    }
